"""Two tiny vocabularies as GGUF metadata."""

from gguf_writer import Typed

# A SentencePiece vocabulary without self-overlapping pieces, each score different.
SENTENCEPIECE = {
    "<unk>": (2, 0.0),
    "<s>": (3, 0.0),
    "</s>": (3, 0.0),
    **{f"<0x{byte:02X}>": (6, 0.0) for byte in range(256)},
    "▁": (1, -10.0),
    "a": (1, -11.0),
    "b": (1, -12.0),
    "c": (1, -13.0),
    "ab": (1, -3.0),
    "bc": (1, -2.0),
    "▁a": (1, -4.0),
    "▁ab": (1, -5.0),
    "abc": (1, -1.0),
    "cb": (1, -6.0),
    "▁bc": (1, -7.0),
}


def sentencepiece_metadata(**changes):
    return {
        "model": Typed("str", "llama"),
        "tokens": Typed("str", list(SENTENCEPIECE)),
        "token_type": Typed("i32", [kind for kind, _ in SENTENCEPIECE.values()]),
        "scores": Typed("f32", [score for _, score in SENTENCEPIECE.values()]),
        "unknown_token_id": Typed("u32", 0),
        "bos_token_id": Typed("u32", 1),
        "eos_token_id": Typed("u32", 2),
    } | changes


def byte_level_metadata(**changes):
    letters = ["a", "b", "c", "Ġ", "1", "2", "3", "4", "'", "s", "S", ".", "e", "Ì", "ģ", "Ã", "©"]
    words = ["ab", "abc", "12", "123", "Ġa", "'S", "Ì\u0123", "éx"]
    return {
        "model": Typed("str", "gpt2"),
        "pre": Typed("str", "gpt-2"),
        "tokens": Typed("str", ["<|end|>", *letters, *words]),
        "token_type": Typed("i32", [3] + [1] * (len(letters) + len(words))),
        "merges": Typed("str", ["a b", "ab c", "1 2", "12 3", "Ġ a", "' S", "Ì ģ"]),
        "bos_token_id": Typed("u32", 0),
        "eos_token_id": Typed("u32", 0),
    } | changes
