"""Fine-tuning: a port any training service fits behind, and LoRA by `peft` in a process of its own.

Nothing is imported here: PyTorch is needed only by the job process, and only at a lab that offers the hook.
"""
