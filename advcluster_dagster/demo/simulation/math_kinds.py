"""Kinds of problems in the domain ``math``: everyday quantities with a condition that is easily missed."""

from advcluster_dagster.demo.simulation.worked import Kind, Step

MATH_KINDS = (
    Kind(
        "returned_tickets",
        "A theatre sells {a} tickets at {p} dollars each, but {n} of them are returned for a full refund. It also "
        "sells {c} "
        "programmes at {q} dollars each. How many dollars does it take in?",
        {
            "a": "tickets sold",
            "p": "price of a ticket",
            "n": "tickets returned",
            "c": "programmes",
            "q": "price of a programme",
        },
        lambda rng: {
            "a": rng.randint(62, 148),
            "p": rng.randint(12, 39),
            "n": rng.randint(11, 29),
            "c": rng.randint(31, 59),
            "q": rng.randint(3, 9),
        },
        (
            Step("tickets", "income from tickets", "(a - n) * p", "dollars", ("a * p",)),
            Step("programmes", "income from programmes", "c * q", "dollars"),
            Step("total", "whole income", "tickets + programmes", "dollars"),
        ),
    ),
    Kind(
        "neither_club",
        "Of {n} pupils, {x} play chess, {y} sing in the choir and {z} do both. How many pupils do neither?",
        {"n": "pupils", "x": "chess players", "y": "singers", "z": "pupils in both"},
        lambda rng: {
            "n": rng.randint(160, 240),
            "x": rng.randint(52, 78),
            "y": rng.randint(43, 69),
            "z": rng.randint(14, 31),
        },
        (
            Step("either", "pupils in at least one group", "x + y - z", "pupils", ("x + y",)),
            Step("neither", "pupils in neither", "n - either", "pupils"),
        ),
    ),
    Kind(
        "good_parts",
        "A machine makes {r} parts an hour and runs {h} hours a day. Each day {s} parts fail inspection. How many "
        "good parts "
        "does it make in {d} days?",
        {"r": "parts an hour", "h": "hours a day", "s": "failed parts a day", "d": "days"},
        lambda rng: {
            "r": rng.randint(34, 87),
            "h": rng.randint(6, 12),
            "s": rng.randint(41, 96),
            "d": rng.randint(13, 28),
        },
        (
            Step("daily", "good parts a day", "r * h - s", "parts", ("r * h",)),
            Step("total", "good parts in all", "daily * d", "parts"),
        ),
    ),
    Kind(
        "savings",
        "Mira has {b} dollars and saves {p} dollars a week for {w} weeks. She then spends {k} percent of all her "
        "money on a "
        "bicycle. How many dollars are left?",
        {"b": "dollars at the start", "p": "dollars a week", "w": "weeks", "k": "percent spent"},
        lambda rng: {
            "b": rng.randint(61, 139),
            "p": rng.randint(14, 38),
            "w": rng.randint(12, 25),
            "k": rng.choice([25, 35, 45, 65]),
        },
        (
            Step("saved", "money before the purchase", "b + p * w", "dollars", ("p * w",)),
            Step("spent", "price of the bicycle", "saved * k / 100", "dollars"),
            Step("left", "money left", "saved - spent", "dollars"),
        ),
    ),
    Kind(
        "paved_yard",
        "A yard measures {l} m by {w} m. A pond of {s} square metres in it stays free. Paving costs {c} dollars per "
        "square "
        "metre. What does the paving cost in dollars?",
        {"l": "length", "w": "width", "s": "area of the pond", "c": "price per square metre"},
        lambda rng: {
            "l": rng.randint(23, 47),
            "w": rng.randint(13, 22),
            "s": rng.randint(54, 98),
            "c": rng.randint(14, 36),
        },
        (
            Step("area", "area to pave", "l * w - s", "square metres", ("l * w",)),
            Step("cost", "cost of paving", "area * c", "dollars"),
        ),
        is_choice=True,
    ),
    Kind(
        "cheaper_shop",
        "Shop North sells a lamp at {p} dollars and adds {s} dollars of delivery to the whole order. Shop South sells "
        "it at {q} "
        "dollars and takes {d} dollars off the whole order. Which shop is cheaper for {n} lamps, North or South?",
        {
            "p": "price at North",
            "s": "delivery at North",
            "q": "price at South",
            "d": "discount at South",
            "n": "lamps",
        },
        lambda rng: {
            "p": rng.randint(23, 36),
            "s": rng.randint(45, 98),
            "q": rng.randint(24, 38),
            "d": rng.randint(16, 58),
            "n": rng.randint(12, 19),
        },
        (
            Step("north", "cost at North", "n * p + s", "dollars", ("n * p",)),
            Step("south", "cost at South", "n * q - d", "dollars", ("n * q",)),
        ),
        smaller_of=("north", "south", "North", "South"),
    ),
)
