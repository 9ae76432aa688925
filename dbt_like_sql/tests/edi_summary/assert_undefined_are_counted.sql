-- The mean is not null if and only if some question's EDI is defined.
select family, domain
from {{ ref('edi_summary') }}
where n_undefined > n_questions or (mean_edi is null) <> (n_questions = n_undefined)
