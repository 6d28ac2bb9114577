"""AWS Lambda with models of Amazon Bedrock."""

from pilotage.ship.targets.lambda_bedrock.target import LambdaBedrockTarget

__all__ = ["LambdaBedrockTarget"]
