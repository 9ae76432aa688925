-- Imported trials whose recorded verdict differs from the computed one. Trials that could not be graded are excluded.
with traces as (
    select family, domain, question_id, 'larger' as role, trial, recorded_correct from {{ ref('larger_traces') }}
    union all
    select family, domain, question_id, 'smaller' as role, trial, recorded_correct from {{ ref('smaller_traces') }}
)

select
    graded.family,
    graded.domain,
    graded.question_id,
    graded.role,
    graded.trial,
    questions.answer,
    graded.prediction,
    traces.recorded_correct,
    graded.is_correct,
    graded.verdict
from {{ ref('graded_trials') }} as graded
inner join traces
    on graded.family = traces.family
    and graded.domain = traces.domain
    and graded.question_id = traces.question_id
    and graded.role = traces.role
    and graded.trial = traces.trial
left join {{ ref('benchmark_questions') }} as questions
    on graded.domain = questions.domain
    and graded.question_id = questions.question_id
where graded.is_correct <> traces.recorded_correct
order by graded.question_id, graded.role, graded.trial
