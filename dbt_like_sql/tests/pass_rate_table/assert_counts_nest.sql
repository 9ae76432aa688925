-- More correct than scored trials, or more scored than run trials, means that trials were counted twice.
select family, domain, question_id
from {{ ref('pass_rate_table') }}
where larger_n_correct > larger_n_scored
    or larger_n_scored > larger_n_trials
    or smaller_n_correct > smaller_n_scored
    or smaller_n_scored > smaller_n_trials
