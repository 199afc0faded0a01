"""A catalogue that nobody wrote: Connectors by seed and number, as lines that `import` takes.

Words are drawn by Zipf's law from some 30,000 forms: English function words first, then words of
commerce and their inflections, then words made of syllables, a few of them with accents. So there
are words that stand in half of all Connectors and words that stand in one. Lines are made one by
one; a longer catalogue begins with the shorter one of the same seed.
"""

import datetime as dt
import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from connectory.contract.scalars import IntegrationType, Region

SEED = 20
#: The Project that the benchmark searches for; many of the private Connectors are assigned to it.
PROJECT_KEY = "bench"
PROJECT = f"{Region.EUROPE_WEST1_GCP}:{PROJECT_KEY}"

MADE_WORDS = 28_000
COMPANIES = 1_200
_PRIVATE = 0.10
_WITHOUT_KEY = 0.03
_ASSIGNED_TO_BENCH = 0.20
_FROM = dt.datetime(2021, 1, 1, tzinfo=dt.UTC)
_DAYS = 5 * 365

_FUNCTION_WORDS = """
the and to for your of with a in from or by is on it that every their as into without at any when
all our its they you we this more one than can via both no not each through between across be are
has have will so within after before only other while where which also new over up out per using
"""

_COMMERCE_WORDS = """
payment order product shop customer store cart checkout connector commerce price tax shipping
inventory catalog search email marketing data sync service platform integration merchant delivery
return refund discount promotion loyalty gift card voucher coupon invoice warehouse stock supplier
marketplace channel brand retail wholesale B2B B2C API webhook event message queue token secret
account profile address country region currency language translation content page media image asset
video review rating recommendation personalization segment campaign newsletter notification alert
report dashboard analytics metric insight forecast demand margin cost revenue subscription billing
plan renewal trial contract quote offer bundle variant attribute category facet filter rank result
query index suggestion synonym fraud risk score identity login session consent privacy GDPR security
encryption audit compliance approval workflow rule trigger schedule job batch import export feed
file format schema mapping field value type list record table row key status state update change
create delete read write publish release version deploy build test monitor log trace error retry
timeout limit rate cache queue storage bucket cloud server host network gateway proxy endpoint
request response header body client partner vendor reseller agency team user role permission scope
project organization company business enterprise market growth sale lead contact deal pipeline CRM
ERP PIM OMS PSP POS SEO CMS SKU VAT IBAN SEPA PayPal wallet bank transfer debit credit installment
capture authorization settlement payout chargeback dispute receipt ledger balance fee commission
carrier parcel label tracking pickup locker courier freight customs duty zone weight dimension
package pallet fulfillment picking packing dispatch route driver fleet return exchange warranty
repair support ticket chat agent bot assistant knowledge article answer question feedback survey
mobile web native desktop kiosk terminal printer scanner barcode sensor device browser widget banner
button form layout theme template component storefront headless composable modular flexible scalable
reliable secure simple fast modern global local digital physical online offline omnichannel unified
automatic manual realtime daily weekly hourly instant advanced basic premium standard custom
"""

_INFLECTIONS = ("s", "ing", "ed", "er", "ment", "able", "ly", "less")
_ONSETS = "b br c ch d dr f fl g gr h j k l m n p pl pr qu r s sh sk st t th tr v w z"
_VOWELS = "a e i o u ai ea ee ie io oa ou"
_CODAS = ["", "", "", "n", "r", "s", "t", "l", "m", "x", "nd", "rt", "st", "ck", "ng"]
_ACCENTS = str.maketrans("aeiouns", "äéíöüñß")
_EXTRAS = ["24/7", "A/B", "3-D", "ISO-27001", "99.9 %", "C++", "e-mail", "don't", "🛒", "ÉTÉ"]
_FORMS = ["", "", "", " GmbH", " Inc.", " Labs", " Commerce", " Group", " & Sons", " AG"]

Json = dict[str, Any]


def lines(made: Iterable[Json]) -> Iterator[bytes]:
    """Connectors as an import reads them, each with its line feed."""
    encode = msgspec.json.Encoder().encode
    for connector in made:
        yield encode(connector) + b"\n"


def connectors(count: int, seed: int = SEED) -> Iterator[Json]:
    """The first `count` Connectors of the catalogue of a seed, as an import takes them."""
    rng = random.Random(seed)
    words = vocabulary(rng)
    weights = _zipf(len(words), flatness=2.7)
    brands = [word.title() for word in rng.sample(words[len(words) // 8 :], 5_000)]
    companies = _companies(rng, brands)
    company_weights = _zipf(len(companies), flatness=10)
    applications = [_application(rng) for _ in range(60)]
    projects = [f"{rng.choice(list(Region))}:shop-{number:02}" for number in range(60)]
    regions, types, commerce = list(Region), list(IntegrationType), _commerce_words()
    for number in range(count):
        company = rng.choices(companies, cum_weights=company_weights)[0]
        name = _name(rng, brands, commerce)
        connector: Json = {"id": _uuid4(rng), "name": name}
        if rng.random() >= _WITHOUT_KEY:
            slug = "".join(c if c.isascii() and c.isalnum() else "-" for c in name.lower())
            connector["key"] = f"{slug[:60]}-{number}"
        connector |= {
            "description": _description(rng, words, weights),
            "integrationTypes": rng.sample(types, rng.choice((1, 1, 1, 2, 3))),
            "creator": {"email": f"connect@{number % 997}.example", **company},
            "repository": {
                "url": f"https://git.example/{number}/connector.git",
                "tag": f"v{rng.randrange(9)}.{rng.randrange(30)}.{rng.randrange(9)}",
            },
            "configurations": rng.sample(applications, rng.choice((1, 1, 2))),
            "private": rng.random() < _PRIVATE,
            "supportedRegions": rng.sample(regions, rng.randrange(4)),
            "certified": rng.random() < 0.7,
            "documentationUrl": f"https://docs.example/connectors/{number}",
        }
        created = _FROM + dt.timedelta(seconds=rng.randrange(_DAYS * 86_400))
        modified = created + dt.timedelta(seconds=int(rng.expovariate(1 / 8e6)))
        connector |= {"createdAt": created, "lastModifiedAt": modified}
        if connector["private"]:
            assigned = rng.sample(projects, rng.randrange(2, 6))
            if rng.random() < _ASSIGNED_TO_BENCH:
                assigned.append(PROJECT)
            connector |= {"privateProjects": assigned, "owner": assigned[0]}
        yield connector


def is_visible(connector: Json) -> bool:
    """Whether a Connector exists for the benchmark's Project."""
    return not connector["private"] or PROJECT in connector["privateProjects"]


def vocabulary(rng: random.Random) -> list[str]:
    """All word forms, the most frequent first."""
    function, commerce = _FUNCTION_WORDS.split(), _commerce_words()
    inflected = [
        word + ending
        for word, ending in itertools.product(commerce, _INFLECTIONS)
        if word.islower() and rng.random() < 0.5
    ]
    made = {_made_word(rng): None for _ in range(MADE_WORDS)}
    rare = [*inflected, *made]
    rng.shuffle(rare)
    return list(dict.fromkeys([*function, *commerce, *rare]))


def _commerce_words() -> list[str]:
    return list(dict.fromkeys(_COMMERCE_WORDS.split()))


def _zipf(count: int, *, flatness: float) -> list[float]:
    """Cumulated weights: the word of rank r is as frequent as 1 / (r + flatness)."""
    return list(itertools.accumulate(1 / (rank + flatness) for rank in range(1, count + 1)))


def _made_word(rng: random.Random) -> str:
    syllables = rng.choice((2, 2, 3, 3, 4))
    onsets, vowels = _ONSETS.split(), _VOWELS.split()
    word = "".join(rng.choice(onsets) + rng.choice(vowels) for _ in range(syllables))
    word += rng.choice(_CODAS)
    return word.translate(_ACCENTS) if rng.random() < 0.01 else word


def _companies(rng: random.Random, brands: Sequence[str]) -> list[Json]:
    names = [brand + rng.choice(_FORMS) for brand in rng.sample(brands, COMPANIES)]
    return [
        {
            "company": name,
            "title": rng.choice(("Developer", "Engineering", "Partnerships", "Support")),
            "name": rng.choice(brands),
            "noOfContributors": rng.randrange(1, 60),
            "supportUrl": f"https://support.example/{number}",
        }
        for number, name in enumerate(names)
    ]


def _name(rng: random.Random, brands: Sequence[str], commerce: Sequence[str]) -> str:
    """Two to five words."""
    words = [rng.choice(brands), rng.choice(commerce).title()]
    words += rng.choices(commerce, k=rng.randrange(3))
    if rng.random() < 0.2:
        words += ["for", rng.choice(brands)]
    return " ".join(words[:5])


def _description(rng: random.Random, words: Sequence[str], weights: Sequence[float]) -> str:
    """Twelve to thirty words in sentences."""
    drawn = rng.choices(words, cum_weights=weights, k=rng.randrange(12, 31))
    if rng.random() < 0.05:
        drawn[rng.randrange(len(drawn))] = rng.choice(_EXTRAS)
    starts = True
    for place, word in enumerate(drawn):
        if starts:
            word = word[0].upper() + word[1:]  # noqa: PLW2901 - the word as it is written here
        ends = place == len(drawn) - 1 or rng.random() < 0.08
        mark = rng.choice(".....!?") if ends else "," if rng.random() < 0.08 else ""
        drawn[place] = word + mark
        starts = ends
    return " ".join(drawn)


def _application(rng: random.Random) -> msgspec.Raw:
    kind = rng.choice(("service", "service", "event", "job"))
    keys = ["CTP_PROJECT_KEY", "CTP_AUTH_URL", "CTP_API_URL", "CTP_CLIENT_ID", "CTP_SCOPE"]
    application = {
        "applicationName": f"{kind}-{rng.randrange(9)}",
        "applicationType": kind,
        "standardConfiguration": [
            {"key": key, "description": f"The {key.lower().replace('_', ' ')}", "required": True}
            for key in rng.sample(keys, rng.randrange(1, 4))
        ],
        "securedConfiguration": [
            {"key": "CTP_CLIENT_SECRET", "description": "The client's secret", "required": True}
        ],
    }
    return msgspec.Raw(msgspec.json.encode(application))


def _uuid4(rng: random.Random) -> str:
    bits = rng.getrandbits(128) & ~(0xF << 76) & ~(0x3 << 62) | (0x4 << 76) | (0x2 << 62)
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
