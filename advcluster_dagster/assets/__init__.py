"""The steps of the method as recipes, one file per stage; a new step goes into its stage's file and its ``STEPS``."""
