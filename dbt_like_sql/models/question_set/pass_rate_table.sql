-- Pass rates of both models on each question and their gap (paper section 3.2.1). Rates without scored trials are null.
with counts as (
    select
        family,
        domain,
        question_id,
        any_value(benchmark) as benchmark,
        count(*) filter (where role = 'larger') as larger_n_trials,
        count(is_correct) filter (where role = 'larger') as larger_n_scored,
        count(*) filter (where role = 'larger' and is_correct) as larger_n_correct,
        count(*) filter (where role = 'smaller') as smaller_n_trials,
        count(is_correct) filter (where role = 'smaller') as smaller_n_scored,
        count(*) filter (where role = 'smaller' and is_correct) as smaller_n_correct
    from {{ ref('graded_trials') }}
    group by family, domain, question_id
)

select
    family,
    domain,
    question_id,
    benchmark,
    larger_n_trials,
    larger_n_scored,
    larger_n_correct,
    larger_n_correct / nullif(larger_n_scored, 0) as larger_pass_rate,
    smaller_n_trials,
    smaller_n_scored,
    smaller_n_correct,
    smaller_n_correct / nullif(smaller_n_scored, 0) as smaller_pass_rate,
    larger_n_correct / nullif(larger_n_scored, 0) - smaller_n_correct / nullif(smaller_n_scored, 0) as pass_rate_gap
from counts
order by family, domain, benchmark, question_id
