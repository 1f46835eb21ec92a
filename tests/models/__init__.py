"""Small exhaustive models: every order of what parties may do, over the code that runs or in Spin."""
