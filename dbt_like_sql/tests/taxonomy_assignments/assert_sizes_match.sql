-- The number of descriptions in every cluster of the taxonomy equals its size.
select taxonomy.family, taxonomy.cluster_id
from {{ ref('final_taxonomy') }} as taxonomy
left join {{ ref('taxonomy_assignments') }} as assignments
    on taxonomy.family = assignments.family and taxonomy.cluster_id = assignments.cluster_id
group by taxonomy.family, taxonomy.cluster_id
having count(assignments.advantage_id) <> any_value(taxonomy.size)
