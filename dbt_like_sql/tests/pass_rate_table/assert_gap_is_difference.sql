-- The gap is the difference of the two rates, and null if and only if one of them is.
select family, domain, question_id
from {{ ref('pass_rate_table') }}
where abs(pass_rate_gap - (larger_pass_rate - smaller_pass_rate)) > 1e-12
    or (pass_rate_gap is null) <> (larger_pass_rate is null or smaller_pass_rate is null)
