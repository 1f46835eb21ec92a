"""The models a lab can serve: scripted, embedded llama.cpp, and any OpenAI-compatible server.

Nothing is imported here: each backend's dependencies are needed only by the lab that chose it.
"""
