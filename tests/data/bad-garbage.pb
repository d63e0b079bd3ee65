this is not a profile, it is a sentence
