-- Unweighted means over benchmarks (domain rows) and over domains (family rows), of means and of standard deviations
-- (paper tables 5 to 8, last column, and table 1). Benchmarks without a value are excluded.
-- Floats are summed in sorted order; otherwise parallel runs differ in the last digit.
with domains as (
    select
        family,
        domain,
        role,
        avg(mean_accuracy order by mean_accuracy) as mean_accuracy,
        avg(std_accuracy order by std_accuracy) as std_accuracy
    from {{ ref('benchmark_accuracy') }}
    group by family, domain, role
)

select family, 'domain' as level, domain, role, mean_accuracy, std_accuracy
from domains
union all
select
    family,
    'family' as level,
    'all' as domain,
    role,
    avg(mean_accuracy order by mean_accuracy) as mean_accuracy,
    avg(std_accuracy order by std_accuracy) as std_accuracy
from domains
group by family, role
order by family, level, domain, role
