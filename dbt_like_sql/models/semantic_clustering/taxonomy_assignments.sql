-- Cluster of each kept description in the chosen candidate, with the domain of its question.
select
    assignments.family,
    assignments.advantage_id,
    advantages.domain,
    assignments.cluster_id
from {{ ref('cluster_assignments') }} as assignments
inner join {{ ref('final_taxonomy') }} as taxonomy
    on assignments.family = taxonomy.family
    and assignments.pca_dim = taxonomy.pca_dim
    and assignments.n_clusters = taxonomy.n_clusters
    and assignments.cluster_id = taxonomy.cluster_id
inner join {{ ref('advantage_corpus') }} as advantages
    on assignments.family = advantages.family
    and assignments.advantage_id = advantages.advantage_id
order by assignments.family, advantages.domain, assignments.advantage_id
