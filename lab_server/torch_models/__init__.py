"""Language models in PyTorch: read from GGUF or safetensors, with their tokenizer and chat template.

Nothing is imported here: PyTorch is needed only by the job process of a fine-tuning and by the torch backend.
"""
