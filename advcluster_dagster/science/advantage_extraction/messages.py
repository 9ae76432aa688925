"""Messages to the extractor for one pair of traces (paper section 3.2.2, appendix A.2.1)."""

from advcluster_dagster.science.prompting import Message, PromptTemplate, fill_template

NO_ANSWER = "(none was given)"


def extraction_messages(
    template: PromptTemplate,
    problem: str,
    larger_response: str,
    smaller_response: str,
    larger_answer: str | None,
    smaller_answer: str | None,
) -> tuple[Message, Message]:
    """Build the messages that ask at which stage the smaller model fails and what the larger model does better.

    Only within the prompt, the larger model is called Model_A and the smaller one Model_B. The texts are fenced
    unaltered, as data. An answer is None if none was extracted from the response.
    """
    fenced = {
        "problem": problem,
        "model_a": larger_response,
        "model_b": smaller_response,
        "answer_a": larger_answer or NO_ANSWER,
        "answer_b": smaller_answer or NO_ANSWER,
    }
    return fill_template(template, plain={}, fenced=fenced)
