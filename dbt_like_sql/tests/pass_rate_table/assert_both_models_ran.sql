-- A question that only one model was asked has no gap: the import or the inference is incomplete.
{{ config(severity='warn') }}
select family, domain, question_id
from {{ ref('pass_rate_table') }}
where larger_n_trials = 0 or smaller_n_trials = 0
