"""What Vaani says, in English and in Telugu. The story and the poem were written for it."""

from collections.abc import Mapping

TEXTS: Mapping[str, Mapping[str, str]] = {
    "greeting": {
        "en": "Hello! I am Vaani. How can I help you?",
        "te": "నమస్కారం! నేను వాణిని. మీకు ఎలా సహాయం చేయగలను?",
    },
    "wellbeing": {
        "en": "I am very well, thank you. How are you?",
        "te": "నేను బాగున్నాను, ధన్యవాదాలు. మీరు ఎలా ఉన్నారు?",
    },
    "identity": {
        "en": "I am Vaani, a voice assistant. My name means voice.",
        "te": "నేను వాణిని, మాటలతో సహాయం చేసే సహాయకురాలిని. నా పేరుకు అర్థం మాట.",
    },
    "abilities": {
        "en": (
            "I can tell you the time and the date, count, do sums, spell words, and repeat after "
            "you. I can tell a story or a poem. I can also change my voice, my mood, my speed, and "
            "speak Telugu."
        ),
        "te": (
            "నేను సమయం, తేదీ చెప్పగలను. లెక్కించగలను, లెక్కలు చేయగలను. కథ లేదా కవిత చెప్పగలను. నా గొంతు కూడా మార్చగలను."
        ),
    },
    "not_understood": {
        "en": (
            "Sorry, I did not understand that. You can ask me for the time, a sum, a story or a "
            "poem, or ask what I can do."
        ),
        "te": "క్షమించండి, నాకు అర్థం కాలేదు. సమయం, లెక్క, కథ లేదా కవిత అడగండి.",
    },
    "nothing_heard": {
        "en": "Sorry, I did not catch that.",
        "te": "క్షమించండి, నాకు వినిపించలేదు.",
    },
    "endpoint_failed": {
        "en": "Sorry, I cannot reach my language model right now. Please try again in a moment.",
        "te": "క్షమించండి, ఇప్పుడు సమాధానం చెప్పలేను. కొంచెం సేపు ఆగి మళ్ళీ అడగండి.",
    },
    "thanks": {"en": "You are welcome.", "te": "పర్వాలేదు, సంతోషం."},
    "stop": {"en": "Okay.", "te": "సరే."},
    "goodbye": {"en": "Goodbye! It was nice talking to you.", "te": "సెలవు! మళ్ళీ కలుద్దాం."},
    "division_by_zero": {
        "en": "Nothing can be divided by zero.",
        "te": "సున్నాతో భాగించలేము.",
    },
    "sum": {"en": "{left} {operator} {right} is {result}.", "te": "సమాధానం {result}."},
    "time": {"en": "It is {time}.", "te": "ఇప్పుడు సమయం {hour} గంటల {minute} నిమిషాలు."},
    "date": {
        "en": "Today is {weekday}, the {day} of {month}, {year}.",
        "te": "ఈ రోజు {weekday}, {month} {day}, {year}.",
    },
    "repeat_nothing": {"en": "What should I repeat?", "te": "నేను ఏమి తిరిగి చెప్పాలి?"},
    "you_said": {"en": "You said: {text}.", "te": "మీరు ఇలా అన్నారు: {text}."},
    "i_said": {"en": "I said: {text}", "te": "నేను ఇలా అన్నాను: {text}"},
    "nobody_spoke": {"en": "Nothing has been said yet.", "te": "ఇంకా ఎవరూ ఏమీ మాట్లాడలేదు."},
    "voice": {"en": "Hello, this is {name} speaking.", "te": "నమస్కారం, ఇక నేను మాట్లాడుతాను."},
    "blend": {
        "en": "This is halfway between {name} and {other}.",
        "te": "ఇది రెండు గొంతుల మధ్య గొంతు.",
    },
    "emotion": {"en": "All right, now I sound {emotion}.", "te": "సరే, ఇప్పుడు ఇలా మాట్లాడుతాను."},
    "rate": {"en": "All right, I will speak {rate}.", "te": "సరే, ఈ వేగంతో మాట్లాడుతాను."},
    "language": {"en": "All right, I will speak English.", "te": "సరే, ఇక తెలుగులో మాట్లాడుతాను."},
    "poem": {
        "en": (
            "The river took a morning slow, and carried it to sea. "
            "It asked the reeds along the row, who will come home with me? "
            "The heron said, I have my stone. The willow said, my ground. "
            "So on the river went alone, and all it kept was sound. "
            "And if you listen, late and near, where water meets the sand, "
            "it is the morning that you hear, still talking to the land."
        ),
        "te": ("నది నెమ్మదిగా పారుతుంది. గాలి మెల్లగా పాడుతుంది. చంద్రుడు నీటిలో నవ్వుతాడు. రాత్రి నిశ్శబ్దంగా వింటుంది."),
    },
    "story": {
        "en": (
            "Once, in a town at the edge of the hills, there lived a woman called Meera, who "
            "mended radios. "
            "People brought her radios that crackled, radios that whispered, and radios that had "
            "not spoken for years. "
            "She opened each of them with a small brass screwdriver, listened, and nearly always "
            "found what was wrong. "
            "One evening, in the rain, a boy came in with a radio wrapped in his coat. "
            "It was my grandfather's, he said, and it plays only one station. "
            "Meera turned it on. "
            "There was no music and no news, only the sound of the sea, wave after wave, although "
            "the sea was three hundred miles away. "
            "She opened the case, and looked for a long time, and closed it again. "
            "Nothing is broken, she said. "
            "The boy was disappointed, because he had hoped to hear the cricket. "
            "So Meera gave him another radio, and kept the strange one on her shelf, where it "
            "murmured while she worked. "
            "Weeks went by, and people began to stay a little longer in the shop. "
            "A driver who never smiled sat down and told her about the village where he had "
            "learned to swim. "
            "A teacher closed her eyes, and remembered a letter that she had never answered, and "
            "went home to write it. "
            "An old man asked to sit there every Thursday, and he said nothing at all, and he was "
            "happy. "
            "In spring the boy came back, taller than before. "
            "I have been thinking, he said, that my grandfather was a fisherman, and that he came "
            "here when he was young, and that he never saw the water again. "
            "Perhaps the radio was not broken. "
            "Perhaps it played what he missed. "
            "Meera took the radio down, and dusted it, and put it into his hands. "
            "The boy turned the knob very slowly. "
            "And there, beneath the waves, quite far away, somebody was whistling. "
            "The boy listened until the lamps were lit in the street. "
            "Then he thanked her, and carried the sea home through the rain, and if you stand at "
            "the edge of that town on a quiet night, you can hear it still."
        ),
        "te": (
            "ఒక ఊరిలో ఒక చిన్న పిచ్చుక ఉండేది. అది ప్రతి రోజూ ఉదయం పాట పాడేది. "
            "ఒక రోజు అది పాడలేదు. ఊరి పిల్లలు దానికి నీళ్ళు, గింజలు పెట్టారు. "
            "మరుసటి రోజు పిచ్చుక మళ్ళీ పాడింది. అందరూ సంతోషించారు."
        ),
    },
}

WEEKDAYS = {
    "en": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
    "te": ["సోమవారం", "మంగళవారం", "బుధవారం", "గురువారం", "శుక్రవారం", "శనివారం", "ఆదివారం"],
}
MONTHS = {
    "en": [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ],
    "te": [
        "జనవరి",
        "ఫిబ్రవరి",
        "మార్చి",
        "ఏప్రిల్",
        "మే",
        "జూన్",
        "జూలై",
        "ఆగస్టు",
        "సెప్టెంబర్",
        "అక్టోబర్",
        "నవంబర్",
        "డిసెంబర్",
    ],
}
