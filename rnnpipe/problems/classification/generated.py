"""A generated corpus in the layout of the IMDB archive, small enough to learn in seconds.

Its reviews come from a small grammar in which the order of words decides: every sentence with
an opinion agrees with the label, but "not , to be honest , a great film" and "promised something
great and delivered something dull" hold the words of the other side. Who only counts words, or
pairs of them, is often wrong; who reads from left to right is not.
"""

import gzip
import hashlib
import io
import random
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from rnnpipe.errors import SourceError
from rnnpipe.storage.files import atomic_file

T = TypeVar("T")
Pick = Callable[[Sequence[T]], T]

FEWEST_REVIEWS = 40
FILM_REVIEWS = 8  # most reviews of one film


def _options(text: str) -> tuple[str, ...]:
    return tuple(" ".join(text.split()).split(", "))


# None starts with a vowel: the templates put "a" before them.
POSITIVE = _options(
    """
    great, wonderful, brilliant, superb, lovely, charming, moving, clever, funny, gripping,
    delightful, beautiful, splendid, touching, memorable, fresh, stunning, warm, witty, perfect
    """
)
NEGATIVE = _options(
    """
    dull, horrible, terrible, boring, weak, clumsy, stupid, lifeless, grating, tedious, dreadful,
    muddled, poor, shallow, forgettable, stale, painful, cold, silly, pathetic
    """
)
THINGS = _options(
    """
    acting, plot, script, music, ending, dialogue, camera work, cast, story, pacing, editing,
    direction, first half, second half, villain, humour, opening scene, soundtrack, photography,
    lead
    """
)
DEGREES = _options(
    """
    truly, really, quite, simply, remarkably, genuinely, rather
    """
)
ASIDES = _options(
    """
    to be honest, for once, as far as I can tell, in my opinion, frankly, I think
    """
)
PEOPLE = _options(
    """
    my brother, my neighbour, a friend, the critic, my aunt, my teacher, our baker, the man beside
    me
    """
)
PLACES = _options(
    """
    Paris, Lisbon, a village in Wales, New York, an old hotel, a school, Tokyo, a farm, a harbour
    town, the desert, Vienna, a space station, a hospital, Chicago
    """
)
HEROES = _options(
    """
    detective, teacher, nurse, pianist, soldier, widow, baker, lawyer, pilot, gardener,
    journalist, cook, student, boxer, painter, taxi driver
    """
)
DEEDS = _options(
    """
    looks for a lost sister, inherits a house, falls in love, plans one last robbery, goes home
    after the war, finds an old letter, runs from the police, meets a stranger on a train, wants
    to win a race, hides a secret, learns to dance, buys a boat
    """
)
NEUTRAL = (
    "It takes place in {place} .",
    "A {hero} {deed} .",
    "The story is about a {hero} who {deed} .",
    "I saw it in {place} with {person} .",
    "It runs for about {minutes} minutes .",
    "The {hero} and the {other} meet in {place} .",
    "Then a {hero} {deed} , and a {other} {deed2} .",
    "{Person} saw it twice .",
    "It was shot in {place} in only {minutes} days .",
)

# {same} is a word of the review's side, {other_side} one of the opposite side.
PLAIN = (
    "The {thing} was {degree} {same} .",
    "The {thing} was , {aside} , {degree} {same} .",
    "I found the {thing} {degree} {same} .",
    "This is a {degree} {same} film .",
    "This is , {aside} , a {degree} {same} film .",
)
NEGATED = (
    "The {thing} was not {degree} {other_side} .",
    "The {thing} was not , {aside} , {degree} {other_side} .",
    "I never found the {thing} {degree} {other_side} .",
    "This is not a {degree} {other_side} film .",
    "This is not , {aside} , a {degree} {other_side} film .",
)
BOTH = (
    "I expected something {other_side} and got something {same} .",
    "The poster promised something {other_side} , but it was something {same} .",
    "I thought the {thing} would be {other_side} , but it turned out {same} .",
    "Not {other_side} at all , in fact {same} .",
    "The {thing} is {same} , and never {other_side} .",
    "{Person} calls it {other_side} , but it is {same} .",
    "It starts {other_side} and ends {same} .",
)
SAVED = {
    "pos": (
        "A {negative} {thing} cannot spoil this {positive} film .",
        "Even the {negative} {thing} does no harm to such a {positive} story .",
    ),
    "neg": (
        "A {positive} {thing} cannot save this {negative} film .",
        "Even the {positive} {thing} is no help to such a {negative} story .",
    ),
}
# How often each kind of sentence comes; PLAIN against NEGATED is what counting words lives on.
SHARES = ((PLAIN, 0.34), (NEGATED, 0.26), (BOTH, 0.36))


def write_corpus(out: Path, reviews: int = 4_000, seed: int = 1) -> str:
    """Write a generated archive in the IMDB layout and return the digest of its reviews.

    Half of the reviews are train, a quarter test, a quarter unlabelled; as many positive as
    negative ones. A film has up to eight reviews, all in one of the three. A few texts stand
    twice in train, in train and test, or in test and unlabelled, as in the original.

    Args:
        out: the archive, a ``.tar.gz``; the same for the same arguments.
        reviews: their number, a multiple of four, at least 40.
        seed: another one gives another corpus of the same kind.

    Returns:
        SHA-256 in hex over the lines ``PATH<TAB>SHA256<NEWLINE>``, as in the card of a source.

    Raises:
        SourceError: ``reviews`` is too small or no multiple of four.
    """
    if reviews < FEWEST_REVIEWS or reviews % 4:
        raise SourceError(
            f"a corpus of {reviews} reviews: expected a multiple of 4, at least {FEWEST_REVIEWS}"
        )
    files = dict(_files(reviews, seed))
    with (
        atomic_file(out) as partial,
        partial.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for path in sorted(files):
            content = files[path].encode()
            member = tarfile.TarInfo(f"aclImdb/{path}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    lines = (
        f"{path}\t{hashlib.sha256(text.encode()).hexdigest()}\n"
        for path, text in sorted(files.items())
        if "_" in path and "urls_" not in path
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _files(reviews: int, seed: int) -> Iterator[tuple[str, str]]:
    """Yield the path inside aclImdb/ and the text of every file."""
    # Of the random module only random() gives the same numbers in every version of Python.
    draw = random.Random(seed).random

    def pick(options: Sequence[T]) -> T:
        return options[int(draw() * len(options))]

    yield "README", "A corpus generated from a small grammar, in the layout of aclImdb.\n"
    film = 0
    test_texts: dict[str, list[str]] = {}
    for split, number in (("test", reviews // 4), ("train", reviews // 2), ("unsup", reviews // 4)):
        slots = [
            (kind, index)
            for kind in (("unsup",) if split == "unsup" else ("neg", "pos"))
            for index in range(number if split == "unsup" else number // 2)
        ]
        # A film's reviews are of both kinds, so they must lie apart in the lists of the urls.
        slots.sort(key=lambda _: draw())
        films: dict[tuple[str, int], int] = {}
        left = 0
        for slot in slots:
            if not left:
                film, left = film + 1, 1 + int(draw() * FILM_REVIEWS)
            films[slot] = film
            left -= 1
        texts: dict[str, list[str]] = {}
        folder = "train" if split == "unsup" else split
        for kind, index in sorted(slots):
            label = pick(("neg", "pos")) if kind == "unsup" else kind
            chance = draw()
            text = _review(label, draw, pick)
            if chance < 0.01 and texts.get(kind):
                text = pick(texts[kind])
            elif chance < 0.015 and split != "test":
                text = pick(test_texts[label])
            texts.setdefault(kind, []).append(text)
            rating = {"neg": (1, 2, 3, 4), "pos": (7, 8, 9, 10), "unsup": (0,)}[kind]
            yield f"{folder}/{kind}/{index}_{pick(rating)}.txt", text
        for kind, of_kind in texts.items():
            urls = (
                f"http://www.imdb.com/title/tt{films[kind, index]:07}/usercomments\n"
                for index in range(len(of_kind))
            )
            yield f"{folder}/urls_{kind}.txt", "".join(urls)
        if split == "test":
            test_texts = texts


def _review(label: str, draw: Callable[[], float], pick: Pick[str]) -> str:
    """One review; every opinion in it is that of the label."""
    kinds = [_opinion(label, draw, pick) for _ in range(3 + int(draw() * 4))]
    kinds += [pick(NEUTRAL) for _ in range(1 + int(draw() * 3))]
    kinds.sort(key=lambda _: draw())
    sides = {"pos": POSITIVE, "neg": NEGATIVE}
    same, other_side = sides.pop(label), next(iter(sides.values()))
    sentences = []
    for kind in kinds:
        person = pick(PEOPLE)
        sentence = kind.format(
            same=pick(same),
            other_side=pick(other_side),
            positive=pick(POSITIVE),
            negative=pick(NEGATIVE),
            thing=pick(THINGS),
            degree=pick(DEGREES),
            aside=pick(ASIDES),
            person=person,
            Person=person[0].upper() + person[1:],
            place=pick(PLACES),
            hero=pick(HEROES),
            other=pick(HEROES),
            deed=pick(DEEDS),
            deed2=pick(DEEDS),
            minutes=pick(("80", "90", "95", "100", "110", "120", "140")),
        )
        sentences.append(sentence.replace(" ,", ",").replace(" .", "."))
    middle = 1 + int(draw() * (len(sentences) - 1))
    gap = "<br /><br />" if draw() < 0.5 else " "
    return " ".join(sentences[:middle]) + gap + " ".join(sentences[middle:])


def _opinion(label: str, draw: Callable[[], float], pick: Pick[str]) -> str:
    chance = draw()
    for templates, share in SHARES:
        if chance < share:
            return pick(templates)
        chance -= share
    return pick(SAVED[label])
