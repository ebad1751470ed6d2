"""Balancing methods, which combine the losses of several tasks into one update."""

from mtsearch.balancing.aligned_mtl import AlignedMTL
from mtsearch.balancing.base import Balancing, Level, Step, balancing, build_balancing
from mtsearch.balancing.cagrad import CAGrad
from mtsearch.balancing.chebyshev import Chebyshev
from mtsearch.balancing.chebyshev_al import ChebyshevAL
from mtsearch.balancing.conflict_free import ConFIG
from mtsearch.balancing.cosine import CosinePenalty
from mtsearch.balancing.db_mtl import DBMTL
from mtsearch.balancing.dualproj import DualProj
from mtsearch.balancing.dwa import DWA
from mtsearch.balancing.excess_mtl import ExcessMTL
from mtsearch.balancing.fairgrad import FairGrad
from mtsearch.balancing.famo import FAMO
from mtsearch.balancing.gls import GLS
from mtsearch.balancing.graddrop import GradDrop
from mtsearch.balancing.gradients import GradientBalancing
from mtsearch.balancing.gradnorm import GradNorm
from mtsearch.balancing.gradvac import GradVac
from mtsearch.balancing.gramians import gramian_factor
from mtsearch.balancing.imtl_g import IMTLG
from mtsearch.balancing.imtl_l import IMTLL
from mtsearch.balancing.jacobian import Jacobian
from mtsearch.balancing.linear import Linear
from mtsearch.balancing.mgda import MGDA
from mtsearch.balancing.min_norm import min_norm_weights
from mtsearch.balancing.nash_mtl import NashMTL
from mtsearch.balancing.pbi import PBI
from mtsearch.balancing.pcd import PCD
from mtsearch.balancing.pcgrad import PCGrad
from mtsearch.balancing.rlw import RLW
from mtsearch.balancing.scalariser import Scalariser
from mtsearch.balancing.sdmgrad import SDMGrad
from mtsearch.balancing.simplex import best_bound, projected_multipliers, simplex_projection
from mtsearch.balancing.smooth_chebyshev import SmoothChebyshev
from mtsearch.balancing.trainable import TrainableScalariser
from mtsearch.balancing.uncertainty import Uncertainty
from mtsearch.balancing.upgrad import UPGrad
from mtsearch.balancing.weighting import TorchJD, Weighting

__all__ = [
    "DBMTL",
    "DWA",
    "FAMO",
    "GLS",
    "IMTLG",
    "IMTLL",
    "MGDA",
    "PBI",
    "PCD",
    "RLW",
    "AlignedMTL",
    "Balancing",
    "CAGrad",
    "Chebyshev",
    "ChebyshevAL",
    "ConFIG",
    "CosinePenalty",
    "DualProj",
    "ExcessMTL",
    "FairGrad",
    "GradDrop",
    "GradNorm",
    "GradVac",
    "GradientBalancing",
    "Jacobian",
    "Level",
    "Linear",
    "NashMTL",
    "PCGrad",
    "SDMGrad",
    "Scalariser",
    "SmoothChebyshev",
    "Step",
    "TorchJD",
    "TrainableScalariser",
    "UPGrad",
    "Uncertainty",
    "Weighting",
    "balancing",
    "best_bound",
    "build_balancing",
    "gramian_factor",
    "min_norm_weights",
    "projected_multipliers",
    "simplex_projection",
]
