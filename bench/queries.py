"""The searches of the benchmark, by group, made of what stands in a catalogue.

Every text group has many different texts, drawn from the catalogue's own words, so that no memory
of a text explains a time. Which texts are rare or frequent is counted, not guessed.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlencode

from bench.catalogue import Json, is_visible
from connectory.catalogue.model import Query, SortField, parse_sort
from connectory.contract.scalars import IntegrationType

T = TypeVar("T")

#: Words are counted in this many Connectors, pairs of words in a fifth of them.
COUNTED = 100_000
_PAIRS_COUNTED = 20_000
#: So many ids of Connectors are more than the cache of bodies holds.
_SPREAD = 60_000
_DRAWN = 4_000
#: A word or a pair is frequent in this share of the Connectors, and rare in so many of them.
FREQUENT_WORD, FREQUENT_PAIR = 0.01, 0.0002
RARE = 5


@dataclass(frozen=True)
class Search:
    """One search: its group, and the parameters of its request."""

    group: str
    parameters: Json

    @property
    def target(self) -> str:
        """The target of its request."""
        return f"/connectors/search?{urlencode(self.parameters, doseq=True)}"

    @property
    def text(self) -> str:
        """Its text where that is all there is to it, else nothing."""
        return self.parameters["text"] if self.group in TEXTS else ""

    @property
    def query(self) -> Query:
        """The same for the index itself."""
        given = self.parameters
        return Query(
            text=given.get("text", ""),
            private_only="private" in given,
            company=given.get("creator.company"),
            ids=given.get("id", ()),
            keys=given.get("key", ()),
            integration_types=tuple(map(IntegrationType, given.get("integrationTypes", ()))),
            sort=(parse_sort(given["sort"]),) if "sort" in given else (),
        )


@dataclass
class Sample:
    """What searches are made of: words and pairs counted, and Connectors drawn at random."""

    count: int = 0
    visible: int = 0
    words: Counter[str] = field(default_factory=Counter)
    pairs: Counter[str] = field(default_factory=Counter)
    drawn: list[Json] = field(default_factory=list)
    #: Ids of visible ones; their order is random already.
    ids: list[str] = field(default_factory=list)

    def watch(self, connectors: Iterable[Json]) -> Iterator[Json]:
        """Hand Connectors on, and take note of them."""
        rng = random.Random(1)
        for connector in connectors:
            if is_visible(connector):
                self.visible += 1
                if len(self.ids) < _SPREAD:
                    self.ids.append(connector["id"])
            if self.count < COUNTED:
                self._count(connector)
            self.count += 1
            if len(self.drawn) < _DRAWN:
                self.drawn.append(connector)
            elif (place := rng.randrange(self.count)) < _DRAWN:
                self.drawn[place] = connector
            yield connector

    def _count(self, connector: Json) -> None:
        fields = (connector["name"].casefold().split(), connector["description"].casefold().split())
        self.words.update({word for words in fields for word in words})
        if self.count < _PAIRS_COUNTED:
            self.pairs.update({pair for words in fields for pair in _neighbours(words, 2)})


def searches(sample: Sample, each: int, seed: int = 3) -> list[Search]:
    """`each` searches of every group, shuffled, so that none follows its like."""
    rng = random.Random(seed)
    made = [
        Search(group, {"text": _in_some_case(rng, text)})
        for group, texts in TEXTS.items()
        for text in _several(texts(sample, rng), each)
    ]
    made += [
        Search(group, parameters)
        for group, filters in FILTERS.items()
        for parameters in _several(filters(sample, rng), each)
    ]
    made += [
        Search(f"sort by {criterion}", {"sort": criterion})
        for criterion in SORTS
        for _ in range(each)
    ]
    rng.shuffle(made)
    return made


def _several(made: Iterator[T], each: int) -> list[T]:
    return [next(made) for _ in range(each)]


def _in_some_case(rng: random.Random, text: str) -> str:
    return rng.choice((text, text, text, text.upper(), text.title()))


def _neighbours(words: Sequence[str], count: int) -> list[str]:
    return [" ".join(words[start : start + count]) for start in range(len(words) - count + 1)]


def _some_words(sample: Sample, rng: random.Random) -> list[str]:
    """The words of one field of some Connector."""
    connector = rng.choice(sample.drawn)
    text: str = connector[rng.choice(("name", "description", "description"))]
    return text.casefold().split()


# Texts


def _rare_words(sample: Sample, rng: random.Random) -> Iterator[str]:
    return _of([word for word, n in sample.words.items() if n <= RARE and len(word) > 3], rng)


def _frequent_words(sample: Sample, rng: random.Random) -> Iterator[str]:
    least = FREQUENT_WORD * min(sample.count, COUNTED)
    return _of([word for word, n in sample.words.items() if n >= least and len(word) > 2], rng)


def _parts_of_words(sample: Sample, rng: random.Random) -> Iterator[str]:
    while True:
        word = rng.choice(_some_words(sample, rng))
        length = rng.choice((3, 3, 4, 5))
        if len(word) > length:
            start = rng.randrange(len(word) - length + 1)
            yield word[start : start + length]


def _absent_texts(sample: Sample, rng: random.Random) -> Iterator[str]:
    """The beginning of one word and the end of another, which together stand in no word."""
    words, everything = list(sample.words), " ".join(sample.words)
    while True:
        text = rng.choice(words)[:4] + rng.choice(words)[-4:]
        if len(text) > 2 and text not in everything:
            yield text


def _letters(sample: Sample, rng: random.Random) -> Iterator[str]:
    return _of([each for each in sorted(set("".join(sample.words))) if each.isalnum()], rng)


def _two_letters(sample: Sample, rng: random.Random) -> Iterator[str]:
    while True:
        word = rng.choice(_some_words(sample, rng))
        if len(word) > 1:
            start = rng.randrange(len(word) - 1)
            yield word[start : start + 2]


def _frequent_pairs(sample: Sample, rng: random.Random) -> Iterator[str]:
    least = max(FREQUENT_PAIR * min(sample.count, _PAIRS_COUNTED), 2)
    return _of([pair for pair, n in sample.pairs.items() if n >= least], rng)


def _rare_pairs(sample: Sample, rng: random.Random) -> Iterator[str]:
    """Neighbouring words of some Connector that few others can have: they are rare themselves."""
    while True:
        pairs = _neighbours(_some_words(sample, rng), 2)
        rare = [pair for pair in pairs if sample.pairs[pair] <= 1]
        if rare:
            yield rng.choice(rare)


def _parts_of_two_words(sample: Sample, rng: random.Random) -> Iterator[str]:
    """The end of a word, a blank, and the beginning of the next, one to four letters each."""
    while True:
        words = _some_words(sample, rng)
        place = rng.randrange(len(words) - 1) if len(words) > 1 else 0
        if len(words) > 1:
            left, right = words[place], words[place + 1]
            yield f"{left[-rng.randrange(1, 5) :]} {right[: rng.randrange(1, 5)]}"


def _three_words(sample: Sample, rng: random.Random) -> Iterator[str]:
    while True:
        if triples := _neighbours(_some_words(sample, rng), 3):
            yield rng.choice(triples)


def _of(texts: Sequence[str], rng: random.Random) -> Iterator[str]:
    """The texts in random order, again and again where there are not enough."""
    texts = sorted(texts)
    while True:
        yield from rng.sample(texts, len(texts))


TextGroup = Callable[[Sample, random.Random], Iterator[str]]
TEXTS: dict[str, TextGroup] = {
    "a rare word": _rare_words,
    "a frequent word": _frequent_words,
    "part of a word": _parts_of_words,
    "no match": _absent_texts,
    "one letter": _letters,
    "two letters": _two_letters,
    "a frequent pair of words": _frequent_pairs,
    "a rare pair of words": _rare_pairs,
    "parts of two words": _parts_of_two_words,
    "three words": _three_words,
}

# Filters


def _private(_sample: Sample, _rng: random.Random) -> Iterator[Json]:
    while True:
        yield {"private": "true"}


def _companies(sample: Sample, rng: random.Random) -> Iterator[Json]:
    while True:
        yield {"creator.company": rng.choice(sample.drawn)["creator"]["company"]}


def _ids(sample: Sample, rng: random.Random) -> Iterator[Json]:
    while True:
        yield {"id": [each["id"] for each in rng.sample(sample.drawn, rng.randrange(1, 21))]}


def _keys(sample: Sample, rng: random.Random) -> Iterator[Json]:
    named = [each["key"] for each in sample.drawn if "key" in each]
    while True:
        yield {"key": rng.sample(named, rng.randrange(1, 21))}


def _types(_sample: Sample, rng: random.Random) -> Iterator[Json]:
    while True:
        yield {"integrationTypes": rng.sample([each.value for each in IntegrationType], 2)}


def _all(_sample: Sample, _rng: random.Random) -> Iterator[Json]:
    while True:
        yield {}


def _everything_at_once(sample: Sample, rng: random.Random) -> Iterator[Json]:
    texts = _frequent_words(sample, rng)
    for kinds in _types(sample, rng):
        yield {"text": next(texts), "sort": rng.choice(SORTS), **kinds}


FilterGroup = Callable[[Sample, random.Random], Iterator[Json]]
FILTERS: dict[str, FilterGroup] = {
    "no filter": _all,
    "private": _private,
    "creator.company": _companies,
    "id": _ids,
    "key": _keys,
    "integrationTypes": _types,
    "a frequent word, integrationTypes, sort": _everything_at_once,
}
SORTS = [f"{each} {direction}" for each in SortField for direction in ("asc", "desc")]
GROUPS = [*TEXTS, *FILTERS, *(f"sort by {criterion}" for criterion in SORTS)]
