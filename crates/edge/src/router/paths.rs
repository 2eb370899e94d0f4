//! The path patterns of one host as a tree. Knows segments; doesn't know hosts.

use everwarm_manifest::{PathPattern, Segment};
use hashbrown::{Equivalent, HashMap};

/// The place of a route in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RouteId(u32);

impl RouteId {
    pub(super) fn of(index: usize) -> Self {
        Self(small(index))
    }

    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

fn small(index: usize) -> u32 {
    u32::try_from(index).expect("four thousand million routes don't fit into memory")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct NodeId(u32);

/// That a pattern's place is taken.
#[derive(Debug)]
pub(super) struct Occupied {
    pub(super) by: RouteId,
}

/// Where a path can be after some of its segments.
#[derive(Debug, Default)]
struct Node {
    /// The route that ends here.
    end: Option<RouteId>,
    /// The route that takes whatever follows.
    rest: Option<RouteId>,
    /// The child for any segment that isn't empty.
    param: Option<NodeId>,
    /// Whether `PathTrees::literals` has children of this node.
    has_literals: bool,
}

/// All children with a literal segment are in one map, keyed by parent and text: a node with a thousand
/// children costs no more than one with two, and building needs one growing table instead of one a node.
#[derive(Debug)]
pub(super) struct PathTree {
    nodes: Vec<Node>,
    literals: HashMap<Literal, NodeId>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Literal {
    parent: NodeId,
    text: Box<str>,
}

/// A [`Literal`] that borrows its text; it has the same hash, because `Box<str>` hashes as `str`.
#[derive(Hash)]
struct LiteralRef<'a> {
    parent: NodeId,
    text: &'a str,
}

impl Equivalent<Literal> for LiteralRef<'_> {
    fn equivalent(&self, key: &Literal) -> bool {
        self.parent == key.parent && *self.text == *key.text
    }
}

impl From<&LiteralRef<'_>> for Literal {
    fn from(literal: &LiteralRef<'_>) -> Self {
        Self {
            parent: literal.parent,
            text: literal.text.into(),
        }
    }
}

/// The node that every path starts from.
const ROOT: NodeId = NodeId(0);

impl Default for PathTree {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
            literals: HashMap::new(),
        }
    }
}

impl PathTree {
    fn add(&mut self) -> NodeId {
        let id = NodeId(small(self.nodes.len()));
        self.nodes.push(Node::default());
        id
    }

    fn node(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0 as usize]
    }

    /// Enters a pattern.
    pub(super) fn insert(&mut self, path: &PathPattern, route: RouteId) -> Result<(), Occupied> {
        let mut at = ROOT;
        for segment in path.segments() {
            at = match segment {
                Segment::Literal(text) => self.literal_child(at, text),
                Segment::Param(_) => self.param_child(at),
            };
        }
        let node = self.node(at);
        let place = if path.takes_rest() {
            &mut node.rest
        } else {
            &mut node.end
        };
        if let Some(by) = *place {
            return Err(Occupied { by });
        }
        *place = Some(route);
        Ok(())
    }

    fn literal_child(&mut self, parent: NodeId, text: &str) -> NodeId {
        let key = LiteralRef { parent, text };
        if let Some(child) = self.literals.get(&key) {
            return *child;
        }
        let child = self.add();
        self.node(parent).has_literals = true;
        self.literals.insert(Literal::from(&key), child);
        child
    }

    fn param_child(&mut self, parent: NodeId) -> NodeId {
        if let Some(child) = self.node(parent).param {
            return child;
        }
        let child = self.add();
        self.node(parent).param = Some(child);
        child
    }

    /// The most specific route for a path in normal form, which starts with `/`.
    pub(super) fn find(&self, path: &str) -> Option<RouteId> {
        self.descend(ROOT, path.strip_prefix('/'))
    }

    /// `left` are the segments that are still to be matched; `None` at the end of the path.
    ///
    /// Literal, parameter, rest: that is the order of specificity. It may turn back, but meets no node
    /// twice, as each node has one parent; and no tree is deeper than a pattern may be.
    fn descend(&self, at: NodeId, left: Option<&str>) -> Option<RouteId> {
        let node = &self.nodes[at.0 as usize];
        let Some(left) = left else {
            return node.end.or(node.rest);
        };
        let (text, left) = match left.split_once('/') {
            Some((text, left)) => (text, Some(left)),
            None => (left, None),
        };
        if node.has_literals
            && let Some(child) = self.literals.get(&LiteralRef { parent: at, text })
            && let Some(route) = self.descend(*child, left)
        {
            return Some(route);
        }
        if let Some(child) = node.param
            && !text.is_empty()
            && let Some(route) = self.descend(child, left)
        {
            return Some(route);
        }
        node.rest
    }
}
