"""What is sent: prompts with exact lengths, a user's file, images, presets."""

from pilotage.prove.payloads.generated_images import GeneratedImages
from pilotage.prove.payloads.image import Image, ImageSource
from pilotage.prove.payloads.image_folder import ImageFolder
from pilotage.prove.payloads.prompt_file import PromptFile
from pilotage.prove.payloads.receipt import Receipt, ReceiptItem
from pilotage.prove.payloads.receipt_prompts import ReceiptCase, ReceiptPrompts, receipts
from pilotage.prove.payloads.request_format import Api, RequestFormat
from pilotage.prove.payloads.sampled import SampledPrompts, SharedPrefix
from pilotage.prove.payloads.token_count import template_tokens
from pilotage.prove.payloads.workload import for_workload

__all__ = [
    "Api",
    "GeneratedImages",
    "Image",
    "ImageFolder",
    "ImageSource",
    "PromptFile",
    "Receipt",
    "ReceiptCase",
    "ReceiptItem",
    "ReceiptPrompts",
    "RequestFormat",
    "SampledPrompts",
    "SharedPrefix",
    "for_workload",
    "receipts",
    "template_tokens",
]
