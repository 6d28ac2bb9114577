"""The little vision-language model of this repository: pictures, questions, training, evaluation.

`scene` says what is in a picture, `pictures` draws it, `questions` asks about it, `conversation`
and `tokenizer` put words into ids, `architecture` is the empty model, `train` fills it and
`evaluate` asks it about pictures that it has not seen. The result lies in ``models/shapes-vlm``.
"""
