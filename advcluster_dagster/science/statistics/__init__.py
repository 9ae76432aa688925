"""How sure a finding is: intervals and tests in which the question, not the advantage, is the unit of evidence."""
