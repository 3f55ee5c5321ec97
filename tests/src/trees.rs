//! Separates the trace trees that the host prints.

/// One printed tree: the line of the incoming request, those of its outgoing requests below it, and
/// those that were printed after its response, wherever they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    lines: Vec<String>,
}

impl Tree {
    /// Finds all trees in these lines, in order.
    #[must_use]
    pub fn all(lines: &[String]) -> Vec<Self> {
        let mut trees: Vec<Self> = Vec::new();
        for line in lines {
            let tree = match line.chars().next() {
                None => continue,
                Some(' ' | '├' | '└' | '│') => trees.last_mut(),
                Some('↳') => trees
                    .iter_mut()
                    .rfind(|tree| request(tree.root()).is_some_and(|id| request(line) == Some(id))),
                Some(_) => None,
            };
            match tree {
                Some(tree) => tree.lines.push(line.clone()),
                None => trees.push(Self {
                    lines: vec![line.clone()],
                }),
            }
        }
        trees
    }

    /// Returns the first line.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.lines[0]
    }

    /// Returns all lines.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}

/// Returns the short request id in a line: the word that starts with `#`.
fn request(line: &str) -> Option<&str> {
    line.split_whitespace().find(|word| word.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_told_apart_and_late_lines_go_where_they_belong() {
        let lines = [
            "GET /a  200  a  #0a",
            "├─ GET h/1",
            "└─ GET h/2",
            "",
            "GET /b  200  b  #0b",
            "GET /c  200  c  #0c",
            "↳ GET h/3  of #0b (b), after its response",
        ]
        .map(str::to_owned);
        let trees = Tree::all(&lines);
        let roots: Vec<_> = trees.iter().map(Tree::root).collect();
        assert_eq!(roots, [&*lines[0], &*lines[4], &*lines[5]]);
        assert_eq!(trees[0].lines(), &lines[..3]);
        assert_eq!(trees[1].lines(), [lines[4].clone(), lines[6].clone()]);
        assert_eq!(trees[2].lines(), &lines[5..6]);
    }
}
