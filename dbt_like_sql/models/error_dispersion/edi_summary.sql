-- Mean and sample standard deviation of the EDI over selected questions (paper table 11), and undefined counts.
-- Floats are summed in sorted order; otherwise parallel runs differ in the last digit.
with models as (
    select family, domain, any_value(model) as model
    from {{ ref('graded_trials') }}
    where role = 'smaller'
    group by family, domain
)

select
    models.family,
    models.domain,
    any_value(models.model) as model,
    count(dispersion.question_id) as n_questions,
    count(dispersion.question_id) - count(dispersion.edi) as n_undefined,
    avg(dispersion.edi order by dispersion.edi) as mean_edi,
    stddev_samp(dispersion.edi order by dispersion.edi) as std_edi
from models
left join {{ ref('error_dispersion') }} as dispersion
    on models.family = dispersion.family
    and models.domain = dispersion.domain
group by models.family, models.domain
order by models.family, models.domain
