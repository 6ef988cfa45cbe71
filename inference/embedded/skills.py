"""What the embedded engine can do: a phrase for the ear, a function for the answer.

A phrase is written in the notation of `phrases`; what its rules stood for reaches the function
as `request.slots`. To teach it something, add a line to SKILLS and a text to TEXTS.
"""

from collections.abc import Callable
from dataclasses import dataclass

from inference.embedded import answers, numbers
from inference.embedded.answers import EMOTION_WORDS, FASTER, OPERATORS, SLOWER, Answer, Request
from inference.embedded.automaton import Automaton, compile_phrases
from inference.embedded.phrases import OPEN, match
from inference.embedded.voices import VOICES


@dataclass(frozen=True, slots=True)
class Skill:
    name: str
    phrase: str
    answer: Callable[[Request], Answer]


SPELLABLE = """
    hello | world | house | friend | mother | father | school | water | music | language |
    telephone | computer | apple | banana | orange | beautiful | friday | monday | morning |
    evening | elephant | tiger | rabbit | india | telugu | english | vaani | priya | ravi |
    orchestra | rhythm | necessary | garden | river | mountain | flower | yellow | purple |
    science | engineer | server | network | voice | message | question | answer | love | happy |
    chocolate | umbrella | library | bicycle | butterfly | pencil | paper | window | kitchen |
    teacher | doctor | student | people | separate | receive | tomorrow | february | wednesday |
    beginning | restaurant | business | committee
"""

RULES = numbers.RULES | {
    "first": "<number>",
    "last": "<number>",
    "left": "<number>",
    "right": "<number>",
    "reverse": "down | backwards",
    "operator": " | ".join(OPERATORS),
    "word": SPELLABLE,
    "voice": " | ".join(VOICES),
    "other": " | ".join(VOICES),
    "emotion": " | ".join(EMOTION_WORDS),
    "rate": f"{' | '.join(FASTER + SLOWER)} | normally | at [a] normal (speed | rate)",
    "pace": "slow down | speed up",
    "language": "telugu | english",
    "speak": "speak | talk | answer | reply | respond",
    "say": "tell | read | give",
    "an": "a | an | another | one | the | your | some",
    "sort": "long | short | good | nice | bedtime | new | real",
    "tale": "story | tale",
    "verse": "poem | rhyme | verse | poetry",
}
LEAD = "um | uh | well | so | okay | [hey | hello | hi] vaani | please | (can | could | would) you"
TAIL = "please"

_SPOKEN = RULES | {"lead": f"[({LEAD}) <lead>]", "anything": OPEN}

SKILLS = (
    Skill(
        "greeting",
        "(hello | hi | hey | greetings | good (morning | afternoon | evening))"
        " [there | world | how are you]",
        answers.fixed("greeting"),
    ),
    Skill(
        "wellbeing",
        "how are you [doing] [today] | how do you do | how is it going | how have you been"
        " | what's up",
        answers.fixed("wellbeing"),
    ),
    Skill(
        "identity",
        "who are you | (what is | what's) your name | who am i (talking | speaking) to"
        " | introduce yourself | tell me about yourself | do you have a name"
        " | are you a (robot | machine | computer | person | human)"
        " | who (made | created | built) you",
        answers.fixed("identity"),
    ),
    Skill(
        "abilities",
        "what [else] can you do [for me] | what do you do | what are you able to do"
        " | what are your (abilities | capabilities | skills) | help [me] | i need [some] help"
        " | what can i (say | ask) [you] | how can you help [me] | what do you (know | understand)",
        answers.fixed("abilities"),
    ),
    Skill(
        "time",
        "[do you know | tell me] what time (is it | it is) [now | right now]"
        " | (what is | what's | tell me | give me | do you (know | have) | have you got)"
        " the [current] time [now]",
        answers.time,
    ),
    Skill(
        "date",
        "[tell me] what (day | date) (is (it | today) | it is)"
        " [today | now]"
        " | (what is | what's | tell me) (the [current] | today's) date [today]",
        answers.date,
    ),
    Skill(
        "count",
        "(count | start counting | count up | count <reverse>) [from <first>]"
        " [(to | up to | down to | until | through) <last>] [<reverse>]"
        " | count [the] numbers from <first> to <last>",
        answers.count,
    ),
    Skill(
        "arithmetic",
        "[what is | what's | how much is | calculate | compute] <left> <operator> <right>",
        answers.arithmetic(),
    ),
    Skill(
        "sum",
        "add <left> (and | to | plus) <right> | (what is | what's) the sum of <left> and <right>",
        answers.arithmetic("plus"),
    ),
    Skill("difference", "subtract <right> from <left>", answers.arithmetic("minus")),
    Skill("product", "multiply <left> (by | and | with) <right>", answers.arithmetic("times")),
    Skill("quotient", "divide <left> by <right>", answers.arithmetic("divided by")),
    Skill(
        "repeat",
        "(repeat after me | say after me | repeat the words | say the words | repeat the sentence)"
        " [<anything>]",
        answers.repeat,
    ),
    Skill(
        "story",
        "<say> [me | us] <an> [<sort>] <tale>"
        " | i (want | would like) [to hear] <an> [<sort>] <tale>"
        " | another <tale> | story time | make up a <tale>",
        answers.fixed("story"),
    ),
    Skill(
        "poem",
        "(<say> | recite) [me | us] <an> [<sort>] <verse>"
        " | i (want | would like) [to hear] <an> [<sort>] <verse> | another <verse>",
        answers.fixed("poem"),
    ),
    Skill(
        "spell",
        "[how do you | how would you | how to] spell [the word | the name] (<word> | <anything>)"
        " | (what is | what's) the spelling of [the word] (<word> | <anything>)",
        answers.spell,
    ),
    Skill(
        "voice",
        "(<speak> | sound) (as | like | with the voice of | in the voice of) <voice>"
        " | (change | switch | set) [[your | the] voice] to <voice> | (use | be) <voice>"
        " | (let me | i want to) (hear | talk to | speak to) <voice>"
        " | use the (voice of <voice> | <voice> voice)",
        answers.voice,
    ),
    Skill(
        "blend",
        "(<speak> | sound) [halfway | half way | in] between <voice> and <other>"
        " | (mix | blend | combine) <voice> (and | with) <other>",
        answers.blend,
    ),
    Skill(
        "emotion",
        "(sound | be | <speak>) [more | very | really | a (bit | little)]"
        " <emotion> | (change | set) your (emotion | mood | tone) to <emotion>"
        " | (<speak> | sound) (in | with) (a | an) <emotion> (voice | tone)",
        answers.emotion,
    ),
    Skill(
        "rate",
        "<speak> [a (bit | little) | much] <rate> | <pace> [a (bit | little)]",
        answers.rate,
    ),
    Skill(
        "language",
        "<speak> [to me] [in] <language> | (switch | change) [the language | your language] to"
        " <language> | do you speak <language>",
        answers.language,
    ),
    Skill(
        "recall_caller",
        "what did i [just] (say | ask) [you] | what was my [last] question | repeat what i said",
        answers.recall_caller,
    ),
    Skill(
        "recall_answer",
        "what did you [just] say | what was your [last] answer"
        " | (say | repeat) (that | it | your answer) [again | once more] | come again",
        answers.recall_answer,
    ),
    Skill(
        "thanks",
        "thank you [very much | so much] | thanks [a lot | so much]"
        " | that was (great | good | nice)",
        answers.fixed("thanks"),
    ),
    Skill(
        "stop",
        "[please] stop [it | talking | that | now] | be quiet | quiet | that's enough | cancel"
        " | never mind",
        answers.fixed("stop"),
    ),
    Skill(
        "goodbye",
        "goodbye | good bye | bye [bye] | see you [later | soon | tomorrow] | talk to you later"
        " | good night | farewell | have a (nice | good) day",
        answers.fixed("goodbye"),
    ),
)


def skill_grammar() -> Automaton:
    """Every phrase of every skill, as the recogniser wants it."""
    return compile_phrases(
        (skill.phrase for skill in SKILLS), RULES | {"anything": OPEN}, LEAD, TAIL
    )


def understand(words: tuple[str, ...]) -> tuple[Skill, dict[str, str]] | None:
    """The skill whose phrase `words` are, fillers around it aside, and what its rules stood for."""
    for skill in SKILLS:
        found = match(f"<lead> ({skill.phrase}) [{TAIL}]", words, _SPOKEN)
        if found is not None:
            return skill, dict(found)
    return None
