"""What the policy value study is made of: a world whose value is known, and a real randomised promotion."""
