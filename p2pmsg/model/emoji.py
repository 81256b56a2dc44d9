"""The 64 symbols that people compare, with the words by which they are read out: those of Matrix's short authentication strings.

Number n is the symbol of the six bits n (Matrix specification, "SAS method: emoji").
"""

from __future__ import annotations

from typing import Final

WORDS: Final = (
    *("Dog", "Cat", "Lion", "Horse", "Unicorn", "Pig", "Elephant", "Rabbit"),
    *("Panda", "Rooster", "Penguin", "Turtle", "Fish", "Octopus", "Butterfly", "Flower"),
    *("Tree", "Cactus", "Mushroom", "Globe", "Moon", "Cloud", "Fire", "Banana"),
    *("Apple", "Strawberry", "Corn", "Pizza", "Cake", "Heart", "Smiley", "Robot"),
    *("Hat", "Glasses", "Spanner", "Santa", "Thumbs Up", "Umbrella", "Hourglass", "Clock"),
    *("Gift", "Light Bulb", "Book", "Pencil", "Paperclip", "Scissors", "Lock", "Key"),
    *("Hammer", "Telephone", "Flag", "Train", "Bicycle", "Aeroplane", "Rocket", "Trophy"),
    *("Ball", "Guitar", "Trumpet", "Bell", "Anchor", "Headphones", "Folder", "Pin"),
)
SYMBOLS: Final = tuple(
    "🐶 🐱 🦁 🐎 🦄 🐷 🐘 🐰 🐼 🐓 🐧 🐢 🐟 🐙 🦋 🌷 🌳 🌵 🍄 🌏 🌙 ☁️ 🔥 🍌 🍎 🍓 🌽 🍕 🎂 ❤️ 😀 🤖 "
    "🎩 👓 🔧 🎅 👍 ☂️ ⌛ ⏰ 🎁 💡 📕 ✏️ 📎 ✂️ 🔒 🔑 🔨 ☎️ 🏁 🚂 🚲 ✈️ 🚀 🏆 ⚽ 🎸 🎺 🔔 ⚓ 🎧 📁 📌".split()
)
"""In the order of WORDS."""
