"""Real texts of mixed length that any Debian machine has: descriptions of packages, their synopses, and licences.

The apt lists of all packages are used where there are any (apt-get -o Acquire::Languages=en update); the descriptions of
the installed packages are always there.
"""
import glob
import pathlib
import random
import re
import subprocess

MULTILINGUAL = [
    "Der schnelle braune Fuchs springt über den faulen Hund; Größe, Maß und Öl.",
    "Le cœur a ses raisons que la raison ne connaît point. Ça alors, où est l'été ?",
    "El ingenioso hidalgo don Quijote de la Mancha: ¿quién lo diría? ¡Mañana!",
    "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему.",
    "Η γρήγορη αλεπού πηδάει πάνω από το τεμπέλικο σκυλί. Ἀρχὴ ἥμισυ παντός.",
    "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。",
    "北京是中华人民共和国的首都,也是全国的政治、文化中心。",
    "나는 오늘 아침에 커피를 마시고 책을 읽었다. 한글은 아름답다.",
    "השפה העברית נכתבת מימין לשמאל, עם ניקוד: שָׁלוֹם.",
    "اللغة العربية جميلة، وتُكتب من اليمين إلى اليسار.",
    "हिन्दी भारत की एक प्रमुख भाषा है। नमस्ते दुनिया!",
    "ภาษาไทยเขียนโดยไม่มีช่องว่างระหว่างคำ",
    "Tiếng Việt có nhiều dấu thanh: ắ ằ ẳ ẵ ặ, ễ, ợ.",
    "İstanbul'da ılık bir gün; ŞÜKRÜ ĞÖÇ.",
    "Zażółć gęślą jaźń. Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "emoji 😀👩‍👩‍👧‍👦🏳️‍🌈 and symbols ∑∫√ ≠ ≤ € ™ ½ ﬁ ﬀ Ⅷ ㎏",
]
NASTY = [
    "", " ", "\t \r", "a", ".", "...", "!?!?!?", "[CLS] [SEP] [MASK] [PAD] [UNK]", "[sep][SEP]a[SEP] [sep]",
    "x" * 100, "x" * 101, "é" * 100, "e\u0301" * 101, "\u0000null\u0000", "\u200bzero\u200dwidth\ufeff", "\u00a0nbsp\u3000wide",
    "\ufffd replacement", "\ue000 private \U000f0000", "\u0378 unassigned \U0001fffe", "ｆｕｌｌｗｉｄｔｈ ＡＢＣ １２３", "ǅ ǆ ﬃ ẞ ß İ ı",
    "1,234.56 -7e10 0xFF 50% $3.14", "don't can't we'll it's", "CamelCaseWord snake_case_word kebab-case-word",
    "http://example.org/a?b=c&d=e#f user@example.org", "\u0301\u0302combining first", "a\u0300\u0301\u0302\u0303b",
    "word " * 300, "ab" * 2000, "漢字" * 200, "the " * 509,
]


def _stanzas(text, field):
    for match in re.finditer(rf"^{field}: (.*(?:\n .*)*)", text, re.M):
        first, *rest = match[1].split("\n")
        yield first.strip(), " ".join(line.strip() for line in rest if line.strip() != ".")


def _apt_lists():
    for name in sorted(glob.glob("/var/lib/apt/lists/*Translation-en*")):
        if name.endswith(".lz4"):
            done = subprocess.run(["/usr/lib/apt/apt-helper", "cat-file", name], capture_output=True)
            yield done.stdout.decode(errors="replace")
        else:
            yield pathlib.Path(name).read_text(errors="replace")


def descriptions(count, seed=1):
    """`count` pairs (synopsis, synopsis and description) of packages, the same ones each time on one machine."""
    pairs = [pair for text in _apt_lists() for pair in _stanzas(text, "Description-en")]
    if len(pairs) < count:
        pairs += _stanzas(pathlib.Path("/var/lib/dpkg/status").read_text(errors="replace"), "Description")
    pairs = sorted({(short, f"{short} {long}".strip()) for short, long in pairs})
    random.Random(seed).shuffle(pairs)
    return [pairs[i % len(pairs)] for i in range(count)]


def long_and_short(count):
    """`count` descriptions without their synopses, a paragraph or two each, and the synopses, a few words each."""
    pairs = descriptions(count)
    return [long[len(short):].strip() or short for short, long in pairs], [short for short, _ in pairs]


def licence_paragraphs():
    """Prose: the paragraphs of the licences that Debian ships."""
    paragraphs = set()
    for name in sorted(glob.glob("/usr/share/common-licenses/*")):
        for paragraph in re.split(r"\n\s*\n", pathlib.Path(name).read_text(errors="replace")):
            paragraphs.add(" ".join(paragraph.split()))
    return sorted(paragraphs - {""})


def parity_texts(count=600):
    """At least `count` texts of every length and of many scripts, nasty ones included."""
    pairs = descriptions(count // 3)
    texts = [long for _, long in pairs] + [short for short, _ in pairs] + MULTILINGUAL + NASTY
    prose = licence_paragraphs()
    random.Random(2).shuffle(prose)
    texts += prose[: max(0, count - len(texts))]
    rng = random.Random(3)
    while len(texts) < count:  # A machine with few packages.
        words = rng.choice(texts).split() or ["word"]
        texts.append(" ".join(rng.choices(words, k=rng.randint(1, 60))))
    return texts
