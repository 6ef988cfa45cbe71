"""Do these words want more? Judged by how they end, in English, Hindi and Telugu.

A wrong yes costs the caller some silence before the answer, a wrong no cuts him off. So a word is
in these lists when sentences seldom end with it; words that often do are left out, however often
more follows them: "on" ("turn it on"), "that" ("stop that"), Hindi "se" and "mein" and Telugu "lo"
("from Delhi", "in the house" are whole answers), Telugu "leda" ("or", and "is there not?").
Romanised and native spellings are both here, since recognisers give either.
"""

from itertools import dropwhile

from media.phrases import Words, normalize

_ENDS = frozenset(
    normalize(
        # English
        "and or but because cuz if than although unless whereas whether until since nor except "
        "the a an my your our their its every "
        "of in for from with into about to at between without during towards toward via per "
        "is are am was were will would can could should "
        "im ill id ive youre theyre lets gonna wanna "
        "um umm uh er erm uhm hmm "
        # Hindi: and, but, because, that, if, so that, rather, that is, like, of, by, then; um
        "aur lekin magar kyunki kyonki kyuki ki agar taaki taki balki yaani yani jaise ke ne toh "
        "और लेकिन मगर क्योंकि कि अगर ताकि बल्कि यानी यानि जैसे के ने तो या जो जब उम "
        # Telugu: and, but, because, that is, then, if, so, about, of, a
        "mariyu kani kaani endukante endukantey ante antey ayithe aithe okavela kabatti kaabatti "
        "gurinchi yokka oka "
        "మరియు కానీ కాని ఎందుకంటే అంటే అయితే ఒకవేళ కాబట్టి గురించి యొక్క ఒక"
    )
)
"""Words that a sentence seldom ends with."""

_ALONE = frozenset(
    map(
        normalize,
        (
            *("i", "so", "well", "like", "please", "i want", "i need", "i would like", "id like"),
            *("i think", "i mean", "you know", "can you", "could you", "would you", "will you"),
            *("do you", "can i", "could i", "may i", "tell me", "give me", "show me", "let me"),
            *("how do", "how do i", "what do", "where do", "when do", "why do"),
            *("main", "mujhe", "mera", "meri", "mere", "matlab", "woh", "wo"),
            *("मैं", "मुझे", "मेरा", "मेरी", "मेरे", "मतलब", "वो", "वह"),
            *("nenu", "naaku", "naku", "నేను", "నాకు"),
        ),
    )
)
"""A turn that is nothing but this has only begun."""

_LEADS = frozenset(
    normalize(
        "so well okay ok um uh and but oh hey hi hello yes yeah no now vaani "
        "haan achha arey हां अच्छा अरे avunu sare అవును సరే"
    )
)
"""What such a beginning may follow: "well, I want"."""

_AUXILIARIES = frozenset(normalize("is are am was were will would can could should"))
_SUBJECTS = frozenset(normalize("i you he she it we they this that these those there one"))
"""After a subject an auxiliary may end a sentence: "yes it is", "what time it is"."""

_QUESTIONS = frozenset(normalize("what whats who whos whom where wheres which whose"))
_STRANDED = frozenset(normalize("of in for from with into about to at"))
_BEFORE_STRANDED = _SUBJECTS | frozenset(
    normalize(
        "is are come comes live lives made talking speaking looking waiting thinking asking going "
        "what who where"
    )
)
"""In a question a preposition may end the sentence after these: "where are you from"."""

_FINISHED = {
    "in": frozenset(normalize("come came go get log sign check move plug me him her it them us")),
    "hmm": frozenset({"mm"}),  # "mm-hmm" is a yes
    "aur": frozenset(normalize("ek thoda kuch koi")),  # "one more", "a little more"
    "और": frozenset(normalize("एक थोड़ा कुछ कोई")),
}
"""After these words the word does end a sentence: "come in"."""

_OPEN = ("…", "...", ",", "-", "–", "—")
"""How a recogniser that punctuates writes that there is more to come."""


def unfinished(text: str) -> bool:
    """Whether whoever said this is likely to go on. No words are no reason to think so."""
    words = normalize(text)
    if not words:
        return False
    beginning = tuple(dropwhile(_LEADS.__contains__, words))
    if words in _ALONE or beginning in _ALONE or text.rstrip().endswith(_OPEN):
        return True
    return words[-1] in _ENDS and not _may_end(words)


def _may_end(words: Words) -> bool:
    """Whether the last word, one of `_ENDS`, may end this sentence all the same."""
    before, last = words[-2:] if len(words) > 1 else ("", words[-1])
    if last in _AUXILIARIES and before in _SUBJECTS:
        return True
    if last in _STRANDED and before in _BEFORE_STRANDED and not _QUESTIONS.isdisjoint(words):
        return True
    return before in _FINISHED.get(last, frozenset())
