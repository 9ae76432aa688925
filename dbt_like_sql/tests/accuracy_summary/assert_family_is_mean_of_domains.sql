-- The family's row is the unweighted mean of its domains' rows.
select family.family, family.role
from {{ ref('accuracy_summary') }} as family
inner join {{ ref('accuracy_summary') }} as domains
    on family.family = domains.family and family.role = domains.role and domains.level = 'domain'
where family.level = 'family'
group by family.family, family.role
having abs(any_value(family.mean_accuracy) - avg(domains.mean_accuracy)) > 1e-9
    or abs(any_value(family.std_accuracy) - avg(domains.std_accuracy)) > 1e-9
    or (any_value(family.mean_accuracy) is null) <> (avg(domains.mean_accuracy) is null)
