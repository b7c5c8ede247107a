"""All of it without data: pictures are drawn, extracted twice, and a head is trained."""
