"""Kinds of problems in the domain ``chemistry``, which depend on the direction of a ratio."""

from advcluster_dagster.demo.simulation.worked import Kind, Step

CHEMISTRY_KINDS = (
    Kind(
        "product_mass",
        "In a reaction, {a} moles of X give {b} moles of Y. X has a molar mass of {m} g/mol and Y of {n} g/mol. How "
        "many grams "
        "of Y come from {g} g of X?",
        {
            "a": "coefficient of X",
            "b": "coefficient of Y",
            "m": "molar mass of X",
            "n": "molar mass of Y",
            "g": "mass of X",
        },
        lambda rng: {
            "a": rng.choice([2, 4, 5]),
            "b": rng.choice([3, 6, 7]),
            "m": rng.choice([16, 28, 32, 56, 64]),
            "n": rng.randint(41, 98),
            "g": rng.choice([112, 128, 168, 192, 256, 336, 448]),
        },
        (
            Step("x", "moles of X", "g / m", "mol", ("g * m",)),
            Step("y", "moles of Y", "x * b / a", "mol", ("x * a / b",)),
            Step("w", "mass of Y", "y * n", "g", ("y / n",)),
        ),
    ),
    Kind(
        "gas_volume",
        "Heating {a} moles of a salt releases {b} moles of gas. The salt has a molar mass of {m} g/mol; one mole of "
        "gas fills {v} L. "
        "How many litres of gas come from {g} g of the salt?",
        {
            "a": "coefficient of the salt",
            "b": "coefficient of the gas",
            "m": "molar mass",
            "v": "molar volume",
            "g": "mass of the salt",
        },
        lambda rng: {
            "a": rng.choice([2, 4, 5]),
            "b": rng.choice([3, 7, 9]),
            "m": rng.choice([84, 96, 125, 148]),
            "v": 24,
            "g": rng.choice([252, 375, 384, 420, 625, 740]),
        },
        (
            Step("x", "moles of the salt", "g / m", "mol"),
            Step("y", "moles of gas", "x * b / a", "mol", ("x * a / b",)),
            Step("w", "volume of gas", "y * v", "L", ("y / v",)),
        ),
    ),
    Kind(
        "dilution",
        "A flask holds {v} mL of a solution of {c} g/L. It is diluted to {w} mL, and {p} mL of the result are taken "
        "out. How many "
        "milligrams of solute do they hold?",
        {"v": "volume before", "c": "concentration before", "w": "volume after", "p": "volume taken out"},
        lambda rng: {
            "v": rng.choice([40, 60, 80, 120]),
            "c": rng.randint(15, 48),
            "w": rng.choice([250, 320, 400, 500]),
            "p": rng.choice([15, 25, 35, 45]),
        },
        (
            Step("d", "concentration after", "c * v / w", "g/L", ("c * w / v",)),
            Step("s", "solute taken out", "d * p", "mg", ("d / p", "p / d")),
        ),
    ),
    Kind(
        "titration",
        "{v} mL of an acid of {c} mmol/mL are neutralised by {w} mL of a base. Each {a} moles of acid need {b} moles "
        "of base. One "
        "millimole of the base weighs {m} mg. What is the concentration of the base in mg/mL?",
        {
            "v": "volume of acid",
            "c": "concentration of acid",
            "w": "volume of base",
            "a": "coefficient of acid",
            "b": "coefficient of base",
            "m": "mass of a millimole",
        },
        lambda rng: {
            "v": rng.choice([24, 36, 45, 54]),
            "c": rng.choice([2, 4, 6]),
            "w": rng.choice([25, 32, 40, 50]),
            "a": rng.choice([2, 3]),
            "b": rng.choice([4, 5]),
            "m": rng.choice([40, 56, 74]),
        },
        (
            Step("x", "amount of acid", "v * c", "mmol"),
            Step("y", "amount of base", "x * b / a", "mmol", ("x * a / b",)),
            Step("d", "amount in each millilitre", "y / w", "mmol/mL", ("w / y",)),
            Step("z", "concentration of the base", "d * m", "mg/mL", ("m / d",)),
        ),
    ),
    Kind(
        "percent_yield",
        "{a} moles of ore give {b} moles of metal. A furnace is fed {n} moles of ore and yields {k} moles of metal. "
        "What percentage "
        "of the possible amount of metal is that?",
        {"a": "coefficient of ore", "b": "coefficient of metal", "n": "moles of ore", "k": "moles of metal obtained"},
        lambda rng: {
            "a": rng.choice([3, 4, 5]),
            "b": rng.choice([2, 7]),
            "n": rng.choice([30, 60, 120, 150]),
            "k": rng.randint(12, 96),
        },
        (
            Step("x", "possible moles of metal", "n * b / a", "mol", ("n * a / b",)),
            Step("y", "yield", "k * 100 / x", "percent", ("x * 100 / k",)),
        ),
        is_choice=True,
    ),
    Kind(
        "limiting_reactant",
        "Copper and sulfur react in a ratio of {a} moles of copper to {b} moles of sulfur. A crucible holds {n} g of "
        "copper ({m} g/mol) "
        "and {k} g of sulfur ({s} g/mol). Which one runs out first, copper or sulfur?",
        {
            "a": "coefficient of copper",
            "b": "coefficient of sulfur",
            "n": "mass of copper",
            "m": "molar mass of copper",
            "k": "mass of sulfur",
            "s": "molar mass of sulfur",
        },
        lambda rng: {
            "a": rng.choice([4, 5, 8]),
            "b": rng.choice([2, 3]),
            "n": 32 * rng.randint(7, 40),
            "m": 64,
            "k": 16 * rng.randint(5, 40),
            "s": 32,
        },
        (
            Step("x", "moles of copper", "n / m", "mol", ("n * m",)),
            Step("y", "moles of sulfur", "k / s", "mol", ("s / k",)),
            Step("i", "portions of copper", "x / a", "portions", ("x * a", "a / x")),
            Step("j", "portions of sulfur", "y / b", "portions", ("y * b",)),
        ),
        smaller_of=("i", "j", "copper", "sulfur"),
    ),
)
