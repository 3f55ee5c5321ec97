//! The trace trees that the host prints, told apart.

/// One printed tree: its first line, which is not indented, and those below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    lines: Vec<String>,
}

impl Tree {
    /// All trees in these lines. Lines that stand alone are no trees.
    #[must_use]
    pub fn all(lines: &[String]) -> Vec<Self> {
        let mut trees: Vec<Self> = Vec::new();
        for line in lines {
            match trees.last_mut() {
                _ if line.trim().is_empty() => {}
                Some(tree) if is_below(line) => tree.lines.push(line.clone()),
                _ => trees.push(Self {
                    lines: vec![line.clone()],
                }),
            }
        }
        trees
    }

    /// The first line.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.lines[0]
    }

    /// All lines.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}

/// Whether a line hangs under one before it.
fn is_below(line: &str) -> bool {
    line.starts_with([' ', '\t', '├', '└', '│'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_told_apart_by_their_indentation() {
        let lines = ["a", "├─ b", "└─ c", "", "d", "e", "  f"].map(str::to_owned);
        let trees = Tree::all(&lines);
        let roots: Vec<_> = trees.iter().map(Tree::root).collect();
        assert_eq!(roots, ["a", "d", "e"]);
        assert_eq!(trees[0].lines().len(), 3);
        assert_eq!(trees[2].lines(), ["e", "  f"]);
    }
}
