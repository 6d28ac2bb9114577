"""Answers that decline to answer, by how they begin."""

from __future__ import annotations

import re
from typing import Final

from pilotage.route.answer import Answer
from pilotage.route.call import Call
from pilotage.route.verifiers.verifier import NO_OPINION, Verdict, at_fault

_SHORT: Final = 600
"""Characters. A longer answer that begins with "I can't" goes on to give something."""

_OPENING: Final = 240
"""Characters in which a refusal has been said; what comes later explains it."""

_QUOTED: Final = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|\"[^\"]*\"|“[^”]*”|„[^“”]*[“”]|«[^»]*»|「[^」]*」|『[^』]*』"
    r"|(?<!\w)'[^'\n]*'(?!\w)|^>[^\n]*$",
    re.DOTALL | re.MULTILINE,
)

# Each is read at the beginning of a sentence. A bare "I can't" is none ("I can't recommend it
# enough", "I can't say for sure, but"): the verb that is declined is part of it.
_PATTERNS: Final = (
    # English
    r"(?:(?:i'?m|i am) (?:very |really |so )?sorry|sorry|i apologi[sz]e|unfortunately|regrettably)?"
    r"[,;.]? ?(?:but )?(?:as an? (?:ai|artificial intelligence|(?:large )?language model|assistant)"
    r"[\w ]{0,24},? ?)?"
    r"i(?: can(?:'?t| ?not)| won'?t| will not|(?: a|'?)m (?:unable|not able|not allowed) to"
    r"| must decline to| have to decline to| do not feel comfortable| don'?t feel comfortable)"
    r" (?:\w+ly )?(?:help|assist|provide|comply|answer|fulfil|do (?:that|this)|create|generate"
    r"|write|discuss|share|support|engage|continue|participate|complete|process|produce|give|offer|access"
    r"|browse|view|see|open|creating|providing|helping|answering|writing|discussing)\b",
    r"(?:i'?m sorry, (?:but )?|sorry, (?:but )?|unfortunately, )?i (?:do not|don'?t)"
    r" (?:know(?: the answer| how to)?[.!]?$|know[.,!]|have (?:enough|any|sufficient|the"
    r"|access)\b)",
    r"(?:i'?m|i am) just an? (?:ai|language model)",
    r"(?:i'?m|i am) (?:sorry|afraid),? (?:but )?(?:that'?s|this is|that is) (?:not )?"
    r"(?:something i can(?:'?t| ?not)?|beyond)",
    r"as an (?:ai|artificial intelligence)[\w ]{0,24},? i (?:do not|don'?t|am not"
    r"|can(?:'?t| ?not))",
    # German
    r"(?:es )?tut mir (?:sehr )?leid[,.;]? ?(?:aber )?(?:ich kann|dabei kann ich|das kann ich"
    r"|ich bin nicht)",
    r"(?:leider )?(?:kann|darf) ich (?:dir |ihnen |das |dabei |diese[rnms]? |leider ){0,3}"
    r"(?:\w+ ){0,3}nicht (?:helfen|weiterhelfen|beantworten|unterstützen|erfüllen)",
    r"(?:leider )?ich (?:kann|darf) (?:dir |ihnen |das |dabei |leider ){0,3}(?:\w+ ){0,3}nicht"
    r" (?:helfen|weiterhelfen|beantworten|unterstützen|erfüllen)",
    r"als (?:ki|künstliche intelligenz|sprachmodell)[\w -]{0,24} (?:kann|darf) ich",
    # French
    r"(?:je suis (?:vraiment )?désolée?|désolée?|malheureusement)[,.;]? ?(?:mais )?je ne"
    r" (?:peux|suis) pas",
    r"je ne (?:peux|suis) pas (?:en mesure de |capable de |vous |t'|te |y )*(?:aider|répondre"
    r"|fournir|satisfaire|générer|créer|traiter)",
    r"en tant qu(?:e modèle|'ia|'intelligence|'assistant)[^.\n]{0,60}je ne (?:peux|suis)",
    # Spanish
    r"(?:lo siento|lamentablemente|me temo)[,.;]? ?(?:pero |que )?no (?:puedo|me es posible)",
    r"no puedo (?:ayudar|ayudarte|ayudarle|responder|proporcionar|cumplir|generar|crear)",
    # Portuguese
    r"(?:desculpe|sinto muito|infelizmente|lamento)[,.;]? ?(?:mas )?(?:eu )?não posso",
    r"(?:eu )?não posso (?:ajudar|ajudá-lo|responder|fornecer|atender|gerar|criar)",
    # Italian
    r"(?:mi dispiace|purtroppo|spiacente)[,.;]? ?(?:ma )?non (?:posso|sono in grado)",
    r"non posso (?:aiutarti|aiutarla|aiutare|rispondere|fornire|soddisfare|generare|creare)",
    # Dutch
    r"(?:het spijt me|sorry|helaas)[,.;]? ?(?:maar )?(?:ik kan|kan ik)[^.\n]{0,40} niet",
    # Polish
    r"(?:przykro mi|przepraszam|niestety)[,.;]? ?(?:ale )?nie mogę",
    # Russian
    r"(?:извините|простите|к сожалению|мне жаль)[,.;]? ?(?:но )?я не могу",
    r"я не могу (?:помочь|ответить|предоставить|выполнить|создать)",
    # Chinese, Japanese, Korean
    r"(?:很抱歉|抱歉|对不起|對不起)[,\uff0c。]? ?(?:但|但是)?我?(?:无法|不能|無法|没有办法)",
    r"我(?:无法|不能|無法)(?:提供|回答|帮助|幫助|满足|协助|完成)",
    r"(?:申し訳(?:ありません|ございません)|すみません|恐れ入ります)[^。\n]{0,60}"
    r"(?:できません|お答えできません|いたしかねます)",
    r"죄송(?:합니다|하지만|해요)[^.\n]{0,60}(?:없습니다|수 없|어렵습니다)",
    # Arabic
    r"(?:عذرا|عذرًا|آسف|أعتذر)[،,]? ?(?:ولكن )?لا (?:يمكنني|أستطيع)",
    # Hindi
    r"(?:क्षमा करें|माफ़ करें|मुझे खेद है)[^।\n]{0,60}(?:नहीं कर सकत|असमर्थ)",
)
_REFUSAL: Final = re.compile(
    "(?:" + "|".join(f"(?:{one})" for one in _PATTERNS) + ")", re.IGNORECASE
)
_SENTENCES: Final = re.compile(r"(?:[.!?]\s+|[。\uff01\uff1f।]\s*|\n+)")


class RefusalVerifier:
    """Finds short answers that decline.

    It only finds faults. What is quoted or in code is not read, and where the request itself
    speaks of refusals (to translate one, say) it has no opinion.
    """

    name = "refusal"

    async def verify(self, call: Call, answer: Answer, tier_name: str) -> Verdict:
        """0 if the answer declines, no opinion otherwise."""
        if answer.finish_reason == "content_filter":
            return at_fault("stopped by the provider's filter")
        if answer.tool_calls or len(answer.text) > _SHORT:
            return NO_OPINION
        return at_fault("a refusal") if declines(call, answer.text) else NO_OPINION


def declines(call: Call, opening: str) -> bool:
    """Whether an answer that begins so declines to answer, however it goes on."""
    return _refuses(opening, 2) and not _speaks_of_refusals(call.prompt)


def _speaks_of_refusals(prompt: str) -> bool:
    return _REFUSAL.search(_plain(prompt[:8192])) is not None


def _refuses(text: str, sentences: int) -> bool:
    """Whether one of the first sentences is a refusal."""
    bare = _QUOTED.sub(" … ", _plain(text[: 4 * _OPENING])).strip().lstrip("*_#- ")
    heads = _SENTENCES.split(bare[:_OPENING], maxsplit=sentences)[:sentences]
    return any(_REFUSAL.match(head.strip()) for head in heads)


def _plain(text: str) -> str:
    return text.replace("\u2018", "'").replace("\u2019", "'").replace("\u00a0", " ")
