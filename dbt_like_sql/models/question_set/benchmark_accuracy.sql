-- Accuracy per trial over its scored questions; mean and sample deviation over trials (paper tables 5 to 8).
-- Floats are summed in sorted order; otherwise parallel runs differ in the last digit.
with trials as (
    select
        family,
        domain,
        benchmark,
        role,
        trial,
        any_value(model) as model,
        100 * avg(case when is_correct then 1.0 when not is_correct then 0.0 end) as accuracy
    from {{ ref('graded_trials') }}
    group by family, domain, benchmark, role, trial
),

questions as (
    select family, domain, benchmark, role, count(distinct question_id) filter (where is_correct is not null) as n_questions
    from {{ ref('graded_trials') }}
    group by family, domain, benchmark, role
)

select
    trials.family,
    trials.domain,
    trials.benchmark,
    trials.role,
    any_value(trials.model) as model,
    any_value(questions.n_questions) as n_questions,
    count(trials.accuracy) as n_trials,
    avg(trials.accuracy order by trials.accuracy) as mean_accuracy,
    stddev_samp(trials.accuracy order by trials.accuracy) as std_accuracy
from trials
inner join questions
    on trials.family = questions.family
    and trials.domain = questions.domain
    and trials.benchmark = questions.benchmark
    and trials.role = questions.role
group by trials.family, trials.domain, trials.benchmark, trials.role
order by trials.family, trials.domain, trials.benchmark, trials.role
