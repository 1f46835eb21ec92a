"""How a model is elicited: arms, and the scaffolds they use, as pure functions that anyone can run again."""
