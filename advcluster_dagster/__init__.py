"""AdvCluster on Dagster: where a larger language model beats its smaller sibling, why, and what fails first."""

import warnings

# Dagster calls its handlers of logs beta, and says so in every process that executes a step; we use them knowingly.
warnings.filterwarnings("ignore", "Handling yaml-defined logging")
