"""What is emptied by age, and orders whose person is forgotten. Ids, fingerprints, outcomes and
amounts stay for ever.
"""
