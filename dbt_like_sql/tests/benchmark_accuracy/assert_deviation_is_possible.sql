-- The standard deviation of percentages over n trials is at most 50 * sqrt(n / (n - 1)); else it is over questions.
select family, domain, benchmark, role
from {{ ref('benchmark_accuracy') }}
where n_trials > 1 and std_accuracy > 50 * sqrt(n_trials / (n_trials - 1)) + 1e-9
