"""The chat template of the model, after Llama 3.2 Vision's, and its special tokens."""

BEGIN = "<|begin_of_text|>"
END_OF_TEXT = "<|end_of_text|>"
HEADER_START = "<|start_header_id|>"
HEADER_END = "<|end_header_id|>"
END_OF_TURN = "<|eot_id|>"
PADDING = "<|finetune_right_pad_id|>"
IMAGE = "<|image|>"

SPECIAL_TOKENS = (BEGIN, END_OF_TEXT, PADDING, HEADER_START, HEADER_END, END_OF_TURN)
"""In the order of their ids, which begin at 0. `IMAGE` comes after the last id of the vocabulary,
as in Llama 3.2 Vision, whose output layer cannot produce it."""

VOCABULARY = 512
"""Ids without the image token: special tokens, the 256 bytes, and merges."""

MAX_NEW_TOKENS = 48
"""More than any answer takes."""

CHAT_TEMPLATE = """\
{{- bos_token }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
    {%- if message['content'] is string %}
        {{- message['content'] | trim }}
    {%- else %}
        {%- for part in message['content'] %}
            {%- if part['type'] == 'image' %}
                {{- '<|image|>' }}
            {%- elif part['type'] == 'text' %}
                {{- part['text'] | trim }}
            {%- endif %}
        {%- endfor %}
    {%- endif %}
    {{- '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""


def conversation(question: str, system: str | None = None) -> list[dict[str, object]]:
    """One picture and `question` as chat messages, with a system message before them if any."""
    parts = [{"type": "image"}, {"type": "text", "text": question}]
    asked: dict[str, object] = {"role": "user", "content": parts}
    return [asked] if system is None else [{"role": "system", "content": system}, asked]
