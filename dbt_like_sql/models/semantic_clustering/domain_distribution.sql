-- Kept descriptions by cluster and domain, with both normalisations (paper figure 2). Every cluster has a row for every
-- domain that was run, so that empty cells are explicit zeros.
with counts as (
    select family, cluster_id, domain, count(advantage_id) as n_advantages
    from {{ ref('taxonomy_assignments') }}
    group by family, cluster_id, domain
),

domains as (
    select distinct family, domain from {{ ref('pass_rate_table') }}
),

cells as (
    select
        taxonomy.family,
        taxonomy.cluster_id,
        domains.domain,
        coalesce(counts.n_advantages, 0) as n_advantages
    from {{ ref('final_taxonomy') }} as taxonomy
    inner join domains on taxonomy.family = domains.family
    left join counts
        on taxonomy.family = counts.family
        and taxonomy.cluster_id = counts.cluster_id
        and domains.domain = counts.domain
)

select
    family,
    cluster_id,
    domain,
    n_advantages,
    n_advantages / nullif(sum(n_advantages) over (partition by family, cluster_id), 0) as row_share,
    n_advantages / nullif(sum(n_advantages) over (partition by family, domain), 0) as column_share
from cells
order by family, cluster_id, domain
