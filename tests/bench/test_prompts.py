from bench.prompts import prompts


def test_prompts_are_distinct_from_their_first_words_on():
    many = prompts(2000)
    assert len(set(many)) == 2000
    assert len({prompt.split()[0] for prompt in many}) == 2000


def test_a_later_part_is_the_same_list_continued():
    assert prompts(6)[4:] == prompts(2, skip=4)


def test_prompts_have_a_usual_length():
    words = [len(prompt.split()) for prompt in prompts(512)]
    assert min(words) >= 20 and max(words) <= 40
