"""What hub and edge say to each other: subjects, messages, typed operations, evidence. Pure; both sides import it."""
