"""Who answers: the engine protocol, the engines, and the process they run in."""
