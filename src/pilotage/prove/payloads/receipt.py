"""A made-up receipt, and what is true of it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import msgspec


@dataclass(frozen=True, slots=True)
class ReceiptItem:
    """A line of a receipt.

    Attributes:
        name: What was bought.
        cents: Its price.
    """

    name: str
    cents: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a receipt says.

    Attributes:
        merchant: The shop's name.
        category: The category of expense, one of `CATEGORIES`.
        day: When.
        items: What was bought; two to eight lines.
    """

    merchant: str
    category: str
    day: date
    items: tuple[ReceiptItem, ...]

    @property
    def total_cents(self) -> int:
        """The sum of the items."""
        return sum(item.cents for item in self.items)

    @property
    def answers(self) -> tuple[str, str, str, str]:
        """The true answers to `QUESTIONS`, in their order and form."""
        items = [{"name": item.name, "price": item.cents / 100} for item in self.items]
        return (
            money(self.total_cents),
            f"{self.merchant}, {self.day.isoformat()}",
            msgspec.json.encode(items).decode(),
            self.category,
        )


def money(cents: int) -> str:
    """`cents` as a receipt prints them: 1234 → "12.34"."""
    return f"{cents // 100}.{cents % 100:02}"


_SHOPS: Final = {
    "restaurant": (
        ("Blue Door Bistro", "Luigi's Trattoria", "Golden Wok", "The Corner Cafe"),
        ("Tomato soup", "House salad", "Margherita", "Fried rice", "Lemonade", "Espresso",
         "Apple pie", "Mineral water", "Club sandwich", "Pasta"),
    ),
    "groceries": (
        ("Green Valley Market", "Fresh & Near", "Family Foods", "Sunrise Grocery"),
        ("Whole milk", "Brown bread", "Eggs 12", "Bananas", "Butter", "Olive oil", "Rice 1kg",
         "Cheddar", "Tomatoes", "Yoghurt"),
    ),
    "fuel": (
        ("Highway Fuel 21", "North Star Petrol", "City Gas"),
        ("Unleaded 95", "Diesel", "Car wash", "Engine oil", "Screen wash", "Coffee to go"),
    ),
    "pharmacy": (
        ("Care Pharmacy", "Old Town Drugs", "Wellness Plus"),
        ("Ibuprofen", "Bandages", "Cough syrup", "Vitamin C", "Sun cream", "Toothpaste"),
    ),
    "hardware": (
        ("Hammer & Nail", "Builders Depot", "Fix It Store"),
        ("Wood screws", "Paint white", "Brush 50mm", "Masking tape", "Drill bit", "Sandpaper"),
    ),
    "office": (
        ("Paper Trail", "Desk & Co", "Print Point"),
        ("Copy paper", "Ballpoint pens", "Stapler", "Notebook A5", "Envelopes", "Toner"),
    ),
}  # fmt: skip

CATEGORIES: Final = tuple(_SHOPS)
"""Categories of expense that receipts have."""

QUESTIONS: Final = (
    "What is the total amount on this receipt? Answer with the number only.",
    "Which merchant issued this receipt, and on which date? Answer as: name, YYYY-MM-DD.",
    "List the items on this receipt as a JSON array of objects with the keys name and price. "
    "Answer with the JSON only.",
    f"What category of expense is this receipt: {', '.join(CATEGORIES)}? Answer with one word.",
)
"""The four prompts of a receipt-reading workload."""

ANSWER_TOKENS: Final = (16, 32, 256, 8)
"""Token limits of the answers to `QUESTIONS`: room for each, and a bound."""


def random_receipt(random_stream: random.Random) -> Receipt:
    """A receipt by chance: one of 20 shops, a day of 2025, two to eight items."""
    category = random_stream.choice(CATEGORIES)
    shops, goods = _SHOPS[category]
    names = random_stream.sample(goods, random_stream.randint(2, min(8, len(goods))))
    return Receipt(
        merchant=random_stream.choice(shops),
        category=category,
        day=date(2025, 1, 1) + timedelta(days=random_stream.randrange(365)),
        items=tuple(ReceiptItem(name, random_stream.randint(99, 4_999)) for name in names),
    )
