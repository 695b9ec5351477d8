"""What problems know of chemistry and biology: codons, contacts, peptides, RNA, reads, positions, torsions."""
