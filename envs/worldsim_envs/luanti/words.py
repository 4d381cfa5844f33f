"""What the columns of the ground truth mean, in words: the index of each label, in English and Korean."""

from __future__ import annotations

BIOMES = {
    "unknown": "알 수 없는 곳",
    "grassland": "초원",
    "deciduous forest": "숲",
    "coniferous forest": "침엽수림",
    "savanna": "사바나",
    "rainforest": "열대우림",
    "desert": "사막",
    "sandstone desert": "사암 사막",
    "cold desert": "추운 사막",
    "snowy grassland": "눈 덮인 초원",
    "taiga": "눈 덮인 숲",
    "tundra": "툰드라",
    "icesheet": "빙원",
}
PLACES = {
    "meadow": "초원",
    "forest": "숲",
    "desert": "사막",
    "snow": "눈밭",
    "lake": "호수",
    "house": "집",
    "tower": "탑",
    "stones": "선돌",
    "cave": "동굴",
}
TIMES = {"day": "낮", "dusk": "해 질 녘", "night": "밤", "dawn": "새벽"}
SKIES = {"clear": "맑음", "overcast": "흐림"}
NODES = {
    "nothing": "없음",
    "grass": "풀밭",
    "dirt": "흙",
    "sand": "모래",
    "stone": "돌",
    "snow": "눈",
    "ice": "얼음",
    "tree": "나무",
    "leaves": "나뭇잎",
    "plant": "풀",
    "water": "물",
    "planks": "판자",
    "glass": "유리",
    "torch": "횃불",
    "brick": "벽돌",
    "wool": "양털",
    "block": "블록",
}
HELD = {
    "pickaxe": "곡괭이",
    "shovel": "삽",
    "cobblestone": "조약돌",
    "planks": "판자",
    "glass": "유리",
    "torch": "횃불",
    "sandstone brick": "사암 벽돌",
    "red wool": "빨간 양털",
}
EVENTS = {
    "nothing": "없음",
    "dug a block": "블록을 캤다",
    "placed a block": "블록을 놓았다",
    "was hurt": "다쳤다",
    "died": "죽었다",
}

_PARTS = (  # of a node's name -> its word; the first that is found counts
    ("leaves", "leaves"),
    ("needles", "leaves"),
    ("water", "water"),
    ("ice", "ice"),
    ("with_snow", "snow"),
    ("snow", "snow"),
    ("dirt_with", "grass"),
    ("litter", "grass"),
    ("sandstonebrick", "brick"),
    ("sand", "sand"),
    ("dirt", "dirt"),
    ("permafrost", "dirt"),
    ("clay", "dirt"),
    ("gravel", "stone"),
    ("cobble", "stone"),
    ("stone", "stone"),
    ("grass", "plant"),
    ("shrub", "plant"),
    ("flowers:", "plant"),
    ("cactus", "plant"),
    ("papyrus", "plant"),
    ("fern", "plant"),
    ("sapling", "plant"),
    ("bush", "plant"),
    ("_wood", "planks"),
    (":wood", "planks"),
    ("tree", "tree"),
    ("glass", "glass"),
    ("torch", "torch"),
    ("wool:", "wool"),
)


def attributes(map_name: str) -> dict[str, dict[str, list[str]]]:
    """For each attribute, a column of the ground truth, its words by language."""
    where = {"place": PLACES} if map_name == "valley" else {"biome": BIOMES}
    words = {**where, "time": TIMES, "weather": SKIES, "looking_at": NODES, "held": HELD, "event": EVENTS}
    return {name: {"en": list(labels), "ko": list(labels.values())} for name, labels in words.items()}


def place_index(name: str) -> int:
    """The index of a place of the valley, or of one of the game's biomes: `taiga_ocean` is taiga."""
    if name in PLACES:
        return list(PLACES).index(name)
    plain = name.replace("_", " ")
    found = [i for i, label in enumerate(BIOMES) if plain.startswith(label)]
    return found[0] if found else 0


def node_index(name: str) -> int:
    """The index of the word for a kind of block."""
    labels = list(NODES)
    if name in ("none", "air"):
        return labels.index("nothing")
    return next((labels.index(word) for part, word in _PARTS if part in name), labels.index("block"))


def time_index(time_of_day: float) -> int:
    """The index of the part of the day, of a fraction of it from midnight on.

    Words follow the light and not the clock: Luanti's is full from 6:07 to 17:53 and gone before 4:22 and after 19:38.
    """
    if 0.235 <= time_of_day < 0.765:
        return 0
    if 0.765 <= time_of_day < 0.81:
        return 1
    return 3 if 0.19 <= time_of_day < 0.235 else 2
