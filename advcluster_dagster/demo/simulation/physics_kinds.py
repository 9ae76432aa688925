"""Kinds of problems in the domain ``physics``, which depend on choosing the right relation."""

from advcluster_dagster.demo.simulation.worked import Kind, Step

PHYSICS_KINDS = (
    Kind(
        "distance_under_acceleration",
        "A car moving at {u} m/s accelerates at {a} m/s^2 for {t} s. How far does it travel in that time, in metres?",
        {"u": "initial speed", "a": "acceleration", "t": "time"},
        lambda rng: {"u": rng.randint(12, 29), "a": rng.choice([4, 6, 8]), "t": rng.randint(13, 19)},
        (
            Step("s1", "distance at the initial speed", "u * t", "m"),
            Step("s2", "distance due to the acceleration", "a * t * t / 2", "m", ("a * t * t", "a * t / 2")),
            Step("s", "whole distance", "s1 + s2", "m", ("s1 * s2", "s2 - s1")),
        ),
    ),
    Kind(
        "parallel_circuit",
        "Two resistors of {p} ohm and {q} ohm are connected in parallel to a battery of {v} V. What power does the "
        "battery "
        "deliver, in watts?",
        {"p": "first resistance", "q": "second resistance", "v": "voltage"},
        lambda rng: (
            dict(zip(("p", "q"), rng.choice([(60, 30), (12, 36), (20, 80), (24, 48), (40, 10), (15, 60)]), strict=True))
            | {"v": rng.choice([24, 36, 48, 72])}
        ),
        (
            Step("r", "joint resistance", "p * q / (p + q)", "ohm", ("p + q", "(p + q) / 2")),
            Step("i", "current", "v / r", "A"),
            Step("w", "power", "v * i", "W", ("v + i", "v * i * i")),
        ),
    ),
    Kind(
        "kinetic_energy_lost",
        "A ball of {m} kg slows down from {u} m/s to {v} m/s. Its lost kinetic energy heats it at {c} J per degree. "
        "By how many "
        "degrees does it warm up?",
        {"m": "mass", "u": "speed before", "v": "speed after", "c": "joules per degree"},
        lambda rng: {
            "m": rng.choice([4, 6, 8, 12]),
            "u": rng.randint(21, 38),
            "v": rng.randint(11, 19),
            "c": rng.choice([16, 25, 32, 64]),
        },
        (
            Step("e1", "kinetic energy before", "m * u * u / 2", "J", ("m * u * u", "m * u / 2")),
            Step("e2", "kinetic energy after", "m * v * v / 2", "J"),
            Step("e", "energy lost", "e1 - e2", "J", ("e1 + e2",)),
            Step("d", "warming", "e / c", "degrees"),
        ),
    ),
    Kind(
        "head_on_collision",
        "A cart of {m} kg moving right at {u} m/s meets a cart of {n} kg moving left at {v} m/s. They stick together. "
        "How fast "
        "do they move afterwards, in m/s?",
        {"m": "first mass", "u": "first speed", "n": "second mass", "v": "second speed"},
        lambda rng: {
            "m": rng.randint(12, 28),
            "u": rng.randint(14, 26),
            "n": rng.randint(11, 19),
            "v": rng.randint(3, 12),
        },
        (
            Step("p", "net momentum", "m * u - n * v", "kg m/s", ("m * u + n * v",)),
            Step("w", "joint mass", "m + n", "kg"),
            Step("x", "joint speed", "p / w", "m/s", ("p / (m - n)",)),
        ),
    ),
    Kind(
        "round_trip",
        "A tram goes {d} km out at {u} km/h and comes back over the same track at {v} km/h. How many minutes does the "
        "round "
        "trip take?",
        {"d": "distance one way", "u": "speed out", "v": "speed back"},
        lambda rng: {
            "d": rng.choice([12, 18, 24, 36]),
            "u": rng.choice([24, 36, 48]),
            "v": rng.choice([16, 18, 32, 45]),
        },
        (
            Step(
                "a", "mean speed over both ways", "2 * u * v / (u + v)", "km/h", ("(u + v) / 2", "2 * u * v / (v - u)")
            ),
            Step("h", "hours for the round trip", "2 * d / a", "h"),
            Step("t", "minutes for the round trip", "h * 60", "minutes"),
        ),
        is_choice=True,
    ),
    Kind(
        "springs",
        "A spring with a constant of {k} N/m is stretched by {x} m and then pulls a block of {m} kg up a smooth "
        "slope. The "
        "gravitational acceleration is {g} m/s^2. How high does the block rise, in metres?",
        {"k": "spring constant", "x": "stretch", "m": "mass", "g": "gravitational acceleration"},
        lambda rng: {
            "k": rng.choice([160, 240, 320, 480]),
            "x": rng.randint(4, 9),
            "m": rng.choice([16, 25, 32]),
            "g": 10,
        },
        (
            Step("e", "energy stored", "k * x * x / 2", "J", ("k * x * x", "k * x / 2")),
            Step("f", "weight", "m * g", "N", ("m + g",)),
            Step("h", "height", "e / f", "m"),
        ),
    ),
)
