"""Kubernetes' protobuf messages of the kinds that are here: which number is which field.

From generated.proto and types.go of k8s.io/api and k8s.io/apimachinery 0.32. A message is a name
and its fields, `number=name:type`; a line that is indented goes on. Where two groups have messages
of one name (EndpointPort), it is the one of the kinds that are here. Types are

    (none)      text                    quantity    a Quantity
    int bool    as they say             time        a Time or a MicroTime
    intOrString a number or a name      Name        another message of this table
    bytes       bytes, in base64 as JSON has them
    json        a RawExtension: JSON as it is
    -           a message that no kind of ours has: told by its name, not read
    [type]      any number of them      {type}      a map from texts
    type?       a pointer in Go: 0, false or no text were written on purpose, and are not «absent»
    Name^       its fields belong to the message around it
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

_MESSAGES = """
Namespace 1=metadata:ObjectMeta 2=spec:NamespaceSpec 3=status:NamespaceStatus
ObjectMeta 1=name 2=generateName 3=namespace 4=selfLink 5=uid 6=resourceVersion 7=generation:int
  8=creationTimestamp:time 9=deletionTimestamp:time 10=deletionGracePeriodSeconds:int?
  11=labels:{} 12=annotations:{} 13=ownerReferences:[OwnerReference] 14=finalizers:[]
  17=managedFields:[-]
OwnerReference 1=kind 3=name 4=uid 5=apiVersion 6=controller:bool? 7=blockOwnerDeletion:bool?
NamespaceSpec 1=finalizers:[]
NamespaceStatus 1=phase 2=conditions:[NamespaceCondition]
NamespaceCondition 1=type 2=status 4=lastTransitionTime:time 5=reason 6=message
Node 1=metadata:ObjectMeta 2=spec:NodeSpec 3=status:NodeStatus
NodeSpec 1=podCIDR 2=externalID 3=providerID 4=unschedulable:bool 5=taints:[Taint]
  6=configSource:- 7=podCIDRs:[]
Taint 1=key 2=value 3=effect 4=timeAdded:time
NodeStatus 1=capacity:{quantity} 2=allocatable:{quantity} 3=phase 4=conditions:[NodeCondition]
  5=addresses:[NodeAddress] 6=daemonEndpoints:NodeDaemonEndpoints 7=nodeInfo:NodeSystemInfo
  8=images:[ContainerImage] 9=volumesInUse:[] 10=volumesAttached:[-] 11=config:-
  12=runtimeHandlers:[-] 13=features:-
NodeCondition 1=type 2=status 3=lastHeartbeatTime:time 4=lastTransitionTime:time 5=reason
  6=message
NodeAddress 1=type 2=address
NodeDaemonEndpoints 1=kubeletEndpoint:DaemonEndpoint
DaemonEndpoint 1=Port:int
NodeSystemInfo 1=machineID 2=systemUUID 3=bootID 4=kernelVersion 5=osImage
  6=containerRuntimeVersion 7=kubeletVersion 8=kubeProxyVersion 9=operatingSystem 10=architecture
ContainerImage 1=names:[] 2=sizeBytes:int
Pod 1=metadata:ObjectMeta 2=spec:PodSpec 3=status:PodStatus
PodSpec 1=volumes:[Volume] 2=containers:[Container] 3=restartPolicy
  4=terminationGracePeriodSeconds:int? 5=activeDeadlineSeconds:int? 6=dnsPolicy 7=nodeSelector:{}
  8=serviceAccountName 9=serviceAccount 10=nodeName 11=hostNetwork:bool 12=hostPID:bool
  13=hostIPC:bool 14=securityContext:PodSecurityContext 15=imagePullSecrets:[LocalObjectReference]
  16=hostname 17=subdomain 18=affinity:Affinity 19=schedulerName 20=initContainers:[Container]
  21=automountServiceAccountToken:bool? 22=tolerations:[Toleration]
  23=hostAliases:[HostAlias] 24=priorityClassName
  25=priority:int? 26=dnsConfig:PodDNSConfig 27=shareProcessNamespace:bool?
  28=readinessGates:[PodReadinessGate]
  29=runtimeClassName 30=enableServiceLinks:bool? 31=preemptionPolicy 32=overhead:{quantity}
  33=topologySpreadConstraints:[TopologySpreadConstraint]
  34=ephemeralContainers:[EphemeralContainer] 35=setHostnameAsFQDN:bool? 36=os:-
  37=hostUsers:bool? 38=schedulingGates:[PodSchedulingGate] 39=resourceClaims:[-]
  40=resources:ResourceRequirements
PodDNSConfig 1=nameservers:[] 2=searches:[] 3=options:[PodDNSConfigOption]
PodDNSConfigOption 1=name 2=value
PodSecurityContext 1=seLinuxOptions:- 2=runAsUser:int? 3=runAsNonRoot:bool?
  4=supplementalGroups:[int] 5=fsGroup:int? 6=runAsGroup:int? 7=sysctls:[Sysctl] 8=windowsOptions:-
  9=fsGroupChangePolicy 10=seccompProfile:SeccompProfile 11=appArmorProfile:-
  12=supplementalGroupsPolicy 13=seLinuxChangePolicy
SecurityContext 1=capabilities:Capabilities 2=privileged:bool? 3=seLinuxOptions:-
  4=runAsUser:int? 5=runAsNonRoot:bool? 6=readOnlyRootFilesystem:bool?
  7=allowPrivilegeEscalation:bool? 8=runAsGroup:int? 9=procMount 10=windowsOptions:-
  11=seccompProfile:SeccompProfile 12=appArmorProfile:-
Capabilities 1=add:[] 2=drop:[]
SeccompProfile 1=type 2=localhostProfile
Sysctl 1=name 2=value
Affinity 1=nodeAffinity:NodeAffinity 2=podAffinity:PodAffinity 3=podAntiAffinity:PodAntiAffinity
PodAffinity 1=requiredDuringSchedulingIgnoredDuringExecution:[PodAffinityTerm]
  2=preferredDuringSchedulingIgnoredDuringExecution:[WeightedPodAffinityTerm]
PodAntiAffinity 1=requiredDuringSchedulingIgnoredDuringExecution:[PodAffinityTerm]
  2=preferredDuringSchedulingIgnoredDuringExecution:[WeightedPodAffinityTerm]
WeightedPodAffinityTerm 1=weight:int 2=podAffinityTerm:PodAffinityTerm
PodAffinityTerm 1=labelSelector:LabelSelector 2=namespaces:[] 3=topologyKey
  4=namespaceSelector:LabelSelector 5=matchLabelKeys:[] 6=mismatchLabelKeys:[]
TopologySpreadConstraint 1=maxSkew:int 2=topologyKey 3=whenUnsatisfiable
  4=labelSelector:LabelSelector 5=minDomains:int? 6=nodeAffinityPolicy 7=nodeTaintsPolicy
  8=matchLabelKeys:[]
PodSchedulingGate 1=name
HostAlias 1=ip 2=hostnames:[]
PodReadinessGate 1=conditionType
NodeAffinity 1=requiredDuringSchedulingIgnoredDuringExecution:NodeSelector
  2=preferredDuringSchedulingIgnoredDuringExecution:[PreferredSchedulingTerm]
NodeSelector 1=nodeSelectorTerms:[NodeSelectorTerm]
PreferredSchedulingTerm 1=weight:int 2=preference:NodeSelectorTerm
NodeSelectorTerm 1=matchExpressions:[NodeSelectorRequirement]
  2=matchFields:[NodeSelectorRequirement]
NodeSelectorRequirement 1=key 2=operator 3=values:[]
Toleration 1=key 2=operator 3=value 4=effect 5=tolerationSeconds:int?
Volume 1=name 2=volumeSource:VolumeSource^
VolumeSource 1=hostPath:HostPathVolumeSource 2=emptyDir:EmptyDirVolumeSource 3=gcePersistentDisk:-
  4=awsElasticBlockStore:- 5=gitRepo:- 6=secret:SecretVolumeSource 7=nfs:- 8=iscsi:- 9=glusterfs:-
  10=persistentVolumeClaim:PersistentVolumeClaimVolumeSource 11=rbd:- 12=flexVolume:-
  13=cinder:- 14=cephfs:- 15=flocker:-
  16=downwardAPI:DownwardAPIVolumeSource 17=fc:- 18=azureFile:-
  19=configMap:ConfigMapVolumeSource 20=vsphereVolume:- 21=quobyte:-
  22=azureDisk:- 23=photonPersistentDisk:- 24=portworxVolume:- 25=scaleIO:-
  26=projected:ProjectedVolumeSource 27=storageos:- 28=csi:- 29=ephemeral:- 30=image:-
PersistentVolumeClaimVolumeSource 1=claimName 2=readOnly:bool
HostPathVolumeSource 1=path 2=type
EmptyDirVolumeSource 1=medium 2=sizeLimit:quantity
ConfigMapVolumeSource 1=localObjectReference:LocalObjectReference^ 2=items:[KeyToPath]
  3=defaultMode:int? 4=optional:bool?
SecretVolumeSource 1=secretName 2=items:[KeyToPath] 3=defaultMode:int? 4=optional:bool?
KeyToPath 1=key 2=path 3=mode:int?
DownwardAPIVolumeSource 1=items:[DownwardAPIVolumeFile] 2=defaultMode:int?
DownwardAPIVolumeFile 1=path 2=fieldRef:ObjectFieldSelector
  3=resourceFieldRef:ResourceFieldSelector 4=mode:int?
ServiceAccountTokenProjection 1=audience 2=expirationSeconds:int? 3=path
ProjectedVolumeSource 1=sources:[VolumeProjection] 2=defaultMode:int?
VolumeProjection 1=secret:SecretProjection 2=downwardAPI:DownwardAPIProjection
  3=configMap:ConfigMapProjection 4=serviceAccountToken:ServiceAccountTokenProjection
  5=clusterTrustBundle:-
SecretProjection 1=localObjectReference:LocalObjectReference^ 2=items:[KeyToPath] 4=optional:bool?
ConfigMapProjection 1=localObjectReference:LocalObjectReference^ 2=items:[KeyToPath]
  4=optional:bool?
DownwardAPIProjection 1=items:[DownwardAPIVolumeFile]
Container 1=name 2=image 3=command:[] 4=args:[] 5=workingDir 6=ports:[ContainerPort]
  7=env:[EnvVar] 8=resources:ResourceRequirements 9=volumeMounts:[VolumeMount]
  10=livenessProbe:Probe 11=readinessProbe:Probe 12=lifecycle:Lifecycle 13=terminationMessagePath
  14=imagePullPolicy 15=securityContext:SecurityContext 16=stdin:bool 17=stdinOnce:bool
  18=tty:bool 19=envFrom:[EnvFromSource]
  20=terminationMessagePolicy 21=volumeDevices:[-] 22=startupProbe:Probe 23=resizePolicy:[-]
  24=restartPolicy
EphemeralContainer 1=ephemeralContainerCommon:Container^ 2=targetContainerName
Probe 1=handler:ProbeHandler^ 2=initialDelaySeconds:int 3=timeoutSeconds:int 4=periodSeconds:int
  5=successThreshold:int 6=failureThreshold:int 7=terminationGracePeriodSeconds:int?
ProbeHandler 1=exec:ExecAction 2=httpGet:HTTPGetAction 3=tcpSocket:TCPSocketAction 4=grpc:GRPCAction
Lifecycle 1=postStart:LifecycleHandler 2=preStop:LifecycleHandler 3=stopSignal
LifecycleHandler 1=exec:ExecAction 2=httpGet:HTTPGetAction 3=tcpSocket:- 4=sleep:SleepAction
SleepAction 1=seconds:int
ExecAction 1=command:[]
HTTPGetAction 1=path 2=port:intOrString 3=host 4=scheme 5=httpHeaders:[HTTPHeader]
HTTPHeader 1=name 2=value
TCPSocketAction 1=port:intOrString 2=host
GRPCAction 1=port:int 2=service
ContainerPort 1=name 2=hostPort:int 3=containerPort:int 4=protocol 5=hostIP
EnvVar 1=name 2=value 3=valueFrom:EnvVarSource
EnvVarSource 1=fieldRef:ObjectFieldSelector 2=resourceFieldRef:ResourceFieldSelector
  3=configMapKeyRef:ConfigMapKeySelector 4=secretKeyRef:SecretKeySelector
ResourceFieldSelector 1=containerName 2=resource 3=divisor:quantity
ObjectFieldSelector 1=apiVersion 2=fieldPath
ConfigMapKeySelector 1=localObjectReference:LocalObjectReference^ 2=key 3=optional:bool?
SecretKeySelector 1=localObjectReference:LocalObjectReference^ 2=key 3=optional:bool?
EnvFromSource 1=prefix 2=configMapRef:ConfigMapEnvSource 3=secretRef:SecretEnvSource
ConfigMapEnvSource 1=localObjectReference:LocalObjectReference^ 2=optional:bool?
SecretEnvSource 1=localObjectReference:LocalObjectReference^ 2=optional:bool?
LocalObjectReference 1=name
ResourceRequirements 1=limits:{quantity} 2=requests:{quantity} 3=claims:[-]
VolumeMount 1=name 2=readOnly:bool 3=mountPath 4=subPath 5=mountPropagation 6=subPathExpr
  7=recursiveReadOnly
PodStatus 1=phase 2=conditions:[PodCondition] 3=message 4=reason 5=hostIP 6=podIP 7=startTime:time
  8=containerStatuses:[ContainerStatus] 9=qosClass 10=initContainerStatuses:[ContainerStatus]
  11=nominatedNodeName 12=podIPs:[PodIP] 13=ephemeralContainerStatuses:[ContainerStatus] 14=resize
  15=resourceClaimStatuses:[-] 16=hostIPs:[PodIP]
PodCondition 1=type 2=status 3=lastProbeTime:time 4=lastTransitionTime:time 5=reason 6=message
ContainerStatus 1=name 2=state:ContainerState 3=lastState:ContainerState 4=ready:bool
  5=restartCount:int 6=image 7=imageID 8=containerID 9=started:bool?
  10=allocatedResources:{quantity} 11=resources:ResourceRequirements 12=volumeMounts:[-] 13=user:-
  14=allocatedResourcesStatus:[-]
ContainerState 1=waiting:ContainerStateWaiting 2=running:ContainerStateRunning
  3=terminated:ContainerStateTerminated
ContainerStateWaiting 1=reason 2=message
ContainerStateRunning 1=startedAt:time
ContainerStateTerminated 1=exitCode:int 2=signal:int 3=reason 4=message 5=startedAt:time
  6=finishedAt:time 7=containerID
PodIP 1=ip
Service 1=metadata:ObjectMeta 2=spec:ServiceSpec 3=status:ServiceStatus
ServiceSpec 1=ports:[ServicePort] 2=selector:{} 3=clusterIP 4=type 5=externalIPs:[]
  7=sessionAffinity 8=loadBalancerIP 9=loadBalancerSourceRanges:[] 10=externalName
  11=externalTrafficPolicy 12=healthCheckNodePort:int 13=publishNotReadyAddresses:bool
  14=sessionAffinityConfig:SessionAffinityConfig 17=ipFamilyPolicy 18=clusterIPs:[] 19=ipFamilies:[]
  20=allocateLoadBalancerNodePorts:bool? 21=loadBalancerClass 22=internalTrafficPolicy
  23=trafficDistribution
ServicePort 1=name 2=protocol 3=port:int 4=targetPort:intOrString 5=nodePort:int 6=appProtocol
SessionAffinityConfig 1=clientIP:ClientIPConfig
ClientIPConfig 1=timeoutSeconds:int?
ServiceStatus 1=loadBalancer:LoadBalancerStatus 2=conditions:[-]
LoadBalancerStatus 1=ingress:[LoadBalancerIngress]
LoadBalancerIngress 1=ip 2=hostname 3=ipMode 4=ports:[PortStatus]
PortStatus 1=port:int 2=protocol 3=error
EndpointSlice 1=metadata:ObjectMeta 2=endpoints:[Endpoint] 3=ports:[EndpointPort] 4=addressType
Endpoint 1=addresses:[] 2=conditions:EndpointConditions 3=hostname 4=targetRef:ObjectReference
  5=deprecatedTopology:{} 6=nodeName 7=zone 8=hints:-
EndpointConditions 1=ready:bool? 2=serving:bool? 3=terminating:bool?
ObjectReference 1=kind 2=namespace 3=name 4=uid 5=apiVersion 6=resourceVersion 7=fieldPath
EndpointPort 1=name 2=protocol 3=port:int? 4=appProtocol
ReplicaSet 1=metadata:ObjectMeta 2=spec:ReplicaSetSpec 3=status:ReplicaSetStatus
ReplicaSetSpec 1=replicas:int? 2=selector:LabelSelector 3=template:PodTemplateSpec
  4=minReadySeconds:int
ReplicaSetStatus 1=replicas:int 2=fullyLabeledReplicas:int 3=observedGeneration:int
  4=readyReplicas:int 5=availableReplicas:int 6=conditions:[ReplicaSetCondition]
ReplicaSetCondition 1=type 2=status 3=lastTransitionTime:time 4=reason 5=message
Deployment 1=metadata:ObjectMeta 2=spec:DeploymentSpec 3=status:DeploymentStatus
DeploymentSpec 1=replicas:int? 2=selector:LabelSelector 3=template:PodTemplateSpec
  4=strategy:DeploymentStrategy 5=minReadySeconds:int 6=revisionHistoryLimit:int? 7=paused:bool
  9=progressDeadlineSeconds:int?
DeploymentStrategy 1=type 2=rollingUpdate:RollingUpdateDeployment
RollingUpdateDeployment 1=maxUnavailable:intOrString 2=maxSurge:intOrString
DeploymentStatus 1=observedGeneration:int 2=replicas:int 3=updatedReplicas:int
  4=availableReplicas:int 5=unavailableReplicas:int 6=conditions:[DeploymentCondition]
  7=readyReplicas:int 8=collisionCount:int? 9=terminatingReplicas:int?
DeploymentCondition 1=type 2=status 4=reason 5=message 6=lastUpdateTime:time
  7=lastTransitionTime:time
StatefulSet 1=metadata:ObjectMeta 2=spec:StatefulSetSpec 3=status:StatefulSetStatus
StatefulSetSpec 1=replicas:int? 2=selector:LabelSelector 3=template:PodTemplateSpec
  4=volumeClaimTemplates:[PersistentVolumeClaim] 5=serviceName 6=podManagementPolicy
  7=updateStrategy:StatefulSetUpdateStrategy 8=revisionHistoryLimit:int? 9=minReadySeconds:int
  10=persistentVolumeClaimRetentionPolicy:StatefulSetPersistentVolumeClaimRetentionPolicy
  11=ordinals:StatefulSetOrdinals
StatefulSetUpdateStrategy 1=type 2=rollingUpdate:RollingUpdateStatefulSetStrategy
RollingUpdateStatefulSetStrategy 1=partition:int? 2=maxUnavailable:intOrString
StatefulSetPersistentVolumeClaimRetentionPolicy 1=whenDeleted 2=whenScaled
StatefulSetOrdinals 1=start:int
StatefulSetStatus 1=observedGeneration:int 2=replicas:int 3=readyReplicas:int 4=currentReplicas:int
  5=updatedReplicas:int 6=currentRevision 7=updateRevision 9=collisionCount:int?
  10=conditions:[StatefulSetCondition] 11=availableReplicas:int
StatefulSetCondition 1=type 2=status 3=lastTransitionTime:time 4=reason 5=message
DaemonSet 1=metadata:ObjectMeta 2=spec:DaemonSetSpec 3=status:DaemonSetStatus
DaemonSetSpec 1=selector:LabelSelector 2=template:PodTemplateSpec
  3=updateStrategy:DaemonSetUpdateStrategy 4=minReadySeconds:int 5=templateGeneration:int
  6=revisionHistoryLimit:int?
DaemonSetUpdateStrategy 1=type 2=rollingUpdate:RollingUpdateDaemonSet
RollingUpdateDaemonSet 1=maxUnavailable:intOrString 2=maxSurge:intOrString
DaemonSetStatus 1=currentNumberScheduled:int 2=numberMisscheduled:int 3=desiredNumberScheduled:int
  4=numberReady:int 5=observedGeneration:int 6=updatedNumberScheduled:int 7=numberAvailable:int
  8=numberUnavailable:int 9=collisionCount:int? 10=conditions:[DaemonSetCondition]
DaemonSetCondition 1=type 2=status 3=lastTransitionTime:time 4=reason 5=message
ControllerRevision 1=metadata:ObjectMeta 2=data:json 3=revision:int
Job 1=metadata:ObjectMeta 2=spec:JobSpec 3=status:JobStatus
JobSpec 1=parallelism:int? 2=completions:int? 3=activeDeadlineSeconds:int? 4=selector:LabelSelector
  5=manualSelector:bool? 6=template:PodTemplateSpec 7=backoffLimit:int?
  8=ttlSecondsAfterFinished:int? 9=completionMode 10=suspend:bool?
  11=podFailurePolicy:PodFailurePolicy 12=backoffLimitPerIndex:int? 13=maxFailedIndexes:int?
  14=podReplacementPolicy 15=managedBy 16=successPolicy:SuccessPolicy
CronJob 1=metadata:ObjectMeta 2=spec:CronJobSpec 3=status:CronJobStatus
CronJobSpec 1=schedule 2=startingDeadlineSeconds:int? 3=concurrencyPolicy 4=suspend:bool?
  5=jobTemplate:JobTemplateSpec 6=successfulJobsHistoryLimit:int? 7=failedJobsHistoryLimit:int?
  8=timeZone
JobTemplateSpec 1=metadata:ObjectMeta 2=spec:JobSpec
CronJobStatus 1=active:[ObjectReference] 4=lastScheduleTime:time 5=lastSuccessfulTime:time
PodFailurePolicy 1=rules:[PodFailurePolicyRule]
PodFailurePolicyRule 1=action 2=onExitCodes:PodFailurePolicyOnExitCodesRequirement
  3=onPodConditions:[PodFailurePolicyOnPodConditionsPattern]
PodFailurePolicyOnExitCodesRequirement 1=containerName 2=operator 3=values:[int]
PodFailurePolicyOnPodConditionsPattern 1=type 2=status
SuccessPolicy 1=rules:[SuccessPolicyRule]
SuccessPolicyRule 1=succeededIndexes 2=succeededCount:int?
JobStatus 1=conditions:[JobCondition] 2=startTime:time 3=completionTime:time 4=active:int
  5=succeeded:int 6=failed:int 7=completedIndexes
  8=uncountedTerminatedPods:UncountedTerminatedPods 9=ready:int? 10=failedIndexes
  11=terminating:int?
JobCondition 1=type 2=status 3=lastProbeTime:time 4=lastTransitionTime:time 5=reason 6=message
UncountedTerminatedPods 1=succeeded:[] 2=failed:[]
PodTemplateSpec 1=metadata:ObjectMeta 2=spec:PodSpec
LabelSelector 1=matchLabels:{} 2=matchExpressions:[LabelSelectorRequirement]
LabelSelectorRequirement 1=key 2=operator 3=values:[]
Event 1=metadata:ObjectMeta 2=involvedObject:ObjectReference 3=reason 4=message
  5=source:EventSource 6=firstTimestamp:time 7=lastTimestamp:time 8=count:int 9=type
  10=eventTime:time 11=series:EventSeries 12=action 13=related:ObjectReference 14=reportingComponent
  15=reportingInstance
EventSeries 1=count:int 2=lastObservedTime:time
EventSource 1=component 2=host
Lease 1=metadata:ObjectMeta 2=spec:LeaseSpec
LeaseSpec 1=holderIdentity 2=leaseDurationSeconds:int? 3=acquireTime:time 4=renewTime:time
  5=leaseTransitions:int? 6=strategy 7=preferredHolder
ConfigMap 1=metadata:ObjectMeta 2=data:{} 3=binaryData:{bytes} 4=immutable:bool?
ResourceQuota 1=metadata:ObjectMeta 2=spec:ResourceQuotaSpec 3=status:ResourceQuotaStatus
ResourceQuotaSpec 1=hard:{quantity} 2=scopes:[] 3=scopeSelector:ScopeSelector
ScopeSelector 1=matchExpressions:[ScopedResourceSelectorRequirement]
ScopedResourceSelectorRequirement 1=scopeName 2=operator 3=values:[]
ResourceQuotaStatus 1=hard:{quantity} 2=used:{quantity}
LimitRange 1=metadata:ObjectMeta 2=spec:LimitRangeSpec
LimitRangeSpec 1=limits:[LimitRangeItem]
LimitRangeItem 1=type 2=max:{quantity} 3=min:{quantity} 4=default:{quantity}
  5=defaultRequest:{quantity} 6=maxLimitRequestRatio:{quantity}
ServiceAccount 1=metadata:ObjectMeta 2=secrets:[ObjectReference]
  3=imagePullSecrets:[LocalObjectReference] 4=automountServiceAccountToken:bool?
TokenRequest 1=metadata:ObjectMeta 2=spec:TokenRequestSpec 3=status:TokenRequestStatus
TokenRequestSpec 1=audiences:[] 3=boundObjectRef:BoundObjectReference 4=expirationSeconds:int?
TokenRequestStatus 1=token 2=expirationTimestamp:time
BoundObjectReference 1=kind 2=apiVersion 3=name 4=uid
PolicyRule 1=verbs:[] 2=apiGroups:[] 3=resources:[] 4=resourceNames:[] 5=nonResourceURLs:[]
Role 1=metadata:ObjectMeta 2=rules:[PolicyRule]
ClusterRole 1=metadata:ObjectMeta 2=rules:[PolicyRule] 3=aggregationRule:AggregationRule
AggregationRule 1=clusterRoleSelectors:[LabelSelector]
RoleBinding 1=metadata:ObjectMeta 2=subjects:[Subject] 3=roleRef:RoleRef
ClusterRoleBinding 1=metadata:ObjectMeta 2=subjects:[Subject] 3=roleRef:RoleRef
RoleRef 1=apiGroup 2=kind 3=name
Subject 1=kind 2=apiGroup 3=name 4=namespace
SubjectAccessReview 1=metadata:ObjectMeta 2=spec:SubjectAccessReviewSpec
  3=status:SubjectAccessReviewStatus
LocalSubjectAccessReview 1=metadata:ObjectMeta 2=spec:SubjectAccessReviewSpec
  3=status:SubjectAccessReviewStatus
SelfSubjectAccessReview 1=metadata:ObjectMeta 2=spec:SelfSubjectAccessReviewSpec
  3=status:SubjectAccessReviewStatus
SelfSubjectRulesReview 1=metadata:ObjectMeta 2=spec:SelfSubjectRulesReviewSpec
  3=status:SubjectRulesReviewStatus
SelfSubjectRulesReviewSpec 1=namespace
SubjectRulesReviewStatus 1=resourceRules:[-] 2=nonResourceRules:[-] 3=incomplete:bool
  4=evaluationError
SelfSubjectAccessReviewSpec 1=resourceAttributes:ResourceAttributes
  2=nonResourceAttributes:NonResourceAttributes
SubjectAccessReviewSpec 1=resourceAttributes:ResourceAttributes
  2=nonResourceAttributes:NonResourceAttributes 3=user 4=groups:[] 5=extra:- 6=uid
SubjectAccessReviewStatus 1=allowed:bool 2=reason 3=evaluationError 4=denied:bool
ResourceAttributes 1=namespace 2=verb 3=group 4=version 5=resource 6=subresource 7=name
  8=fieldSelector:- 9=labelSelector:-
NonResourceAttributes 1=path 2=verb
TokenReview 1=metadata:ObjectMeta 2=spec:TokenReviewSpec 3=status:TokenReviewStatus
TokenReviewSpec 1=token 2=audiences:[]
TokenReviewStatus 1=authenticated:bool 2=user:UserInfo 3=error 4=audiences:[]
SelfSubjectReview 1=metadata:ObjectMeta 2=status:SelfSubjectReviewStatus
SelfSubjectReviewStatus 1=userInfo:UserInfo
UserInfo 1=username 2=uid 3=groups:[] 4=extra:-
Secret 1=metadata:ObjectMeta 2=data:{bytes} 3=type 4=stringData:{} 5=immutable:bool?
Ingress 1=metadata:ObjectMeta 2=spec:IngressSpec 3=status:IngressStatus
IngressSpec 1=defaultBackend:IngressBackend 2=tls:[IngressTLS] 3=rules:[IngressRule]
  4=ingressClassName
IngressBackend 3=resource:TypedLocalObjectReference 4=service:IngressServiceBackend
TypedLocalObjectReference 1=apiGroup 2=kind 3=name
IngressServiceBackend 1=name 2=port:ServiceBackendPort
ServiceBackendPort 1=name 2=number:int
IngressTLS 1=hosts:[] 2=secretName
IngressRule 1=host 2=ingressRuleValue:IngressRuleValue^
IngressRuleValue 1=http:HTTPIngressRuleValue
HTTPIngressRuleValue 1=paths:[HTTPIngressPath]
HTTPIngressPath 1=path 2=backend:IngressBackend 3=pathType
IngressStatus 1=loadBalancer:IngressLoadBalancerStatus
IngressLoadBalancerStatus 1=ingress:[IngressLoadBalancerIngress]
IngressLoadBalancerIngress 1=ip 2=hostname 4=ports:[IngressPortStatus]
IngressPortStatus 1=port:int 2=protocol 3=error
PersistentVolume 1=metadata:ObjectMeta 2=spec:PersistentVolumeSpec 3=status:PersistentVolumeStatus
PersistentVolumeSpec 1=capacity:{quantity} 2=persistentVolumeSource:PersistentVolumeSource^
  3=accessModes:[] 4=claimRef:ObjectReference 5=persistentVolumeReclaimPolicy 6=storageClassName
  7=mountOptions:[] 8=volumeMode 9=nodeAffinity:VolumeNodeAffinity 10=volumeAttributesClassName
PersistentVolumeSource 1=gcePersistentDisk:- 2=awsElasticBlockStore:-
  3=hostPath:HostPathVolumeSource 4=glusterfs:- 5=nfs:- 6=rbd:- 7=iscsi:- 8=cinder:- 9=cephfs:-
  10=fc:- 11=flocker:- 12=flexVolume:-
  13=azureFile:- 14=vsphereVolume:- 15=quobyte:- 16=azureDisk:- 17=photonPersistentDisk:-
  18=portworxVolume:- 19=scaleIO:- 20=local:LocalVolumeSource 21=storageos:- 22=csi:-
LocalVolumeSource 1=path 2=fsType
VolumeNodeAffinity 1=required:NodeSelector
PersistentVolumeStatus 1=phase 2=message 3=reason 4=lastPhaseTransitionTime:time
PersistentVolumeClaim 1=metadata:ObjectMeta 2=spec:PersistentVolumeClaimSpec
  3=status:PersistentVolumeClaimStatus
PersistentVolumeClaimSpec 1=accessModes:[] 2=resources:VolumeResourceRequirements 3=volumeName
  4=selector:LabelSelector 5=storageClassName:? 6=volumeMode 7=dataSource:- 8=dataSourceRef:-
  9=volumeAttributesClassName
VolumeResourceRequirements 1=limits:{quantity} 2=requests:{quantity}
PersistentVolumeClaimStatus 1=phase 2=accessModes:[] 3=capacity:{quantity}
  4=conditions:[PersistentVolumeClaimCondition] 5=allocatedResources:{quantity}
  7=allocatedResourceStatuses:{} 8=currentVolumeAttributesClassName 9=modifyVolumeStatus:-
PersistentVolumeClaimCondition 1=type 2=status 3=lastProbeTime:time 4=lastTransitionTime:time
  5=reason 6=message
StorageClass 1=metadata:ObjectMeta 2=provisioner 3=parameters:{} 4=reclaimPolicy 5=mountOptions:[]
  6=allowVolumeExpansion:bool? 7=volumeBindingMode 8=allowedTopologies:[TopologySelectorTerm]
TopologySelectorTerm 1=matchLabelExpressions:[TopologySelectorLabelRequirement]
TopologySelectorLabelRequirement 1=key 2=values:[]
PriorityClass 1=metadata:ObjectMeta 2=value:int 3=globalDefault:bool 4=description
  5=preemptionPolicy
IngressClass 1=metadata:ObjectMeta 2=spec:IngressClassSpec
IngressClassSpec 1=controller 2=parameters:IngressClassParametersReference
HorizontalPodAutoscaler 1=metadata:ObjectMeta 2=spec:HorizontalPodAutoscalerSpec
  3=status:HorizontalPodAutoscalerStatus
HorizontalPodAutoscalerSpec 1=scaleTargetRef:CrossVersionObjectReference 2=minReplicas:int?
  3=maxReplicas:int 4=metrics:[MetricSpec] 5=behavior:HorizontalPodAutoscalerBehavior
HorizontalPodAutoscalerV1 1=metadata:ObjectMeta 2=spec:HorizontalPodAutoscalerSpecV1
  3=status:HorizontalPodAutoscalerStatusV1
HorizontalPodAutoscalerSpecV1 1=scaleTargetRef:CrossVersionObjectReference 2=minReplicas:int?
  3=maxReplicas:int 4=targetCPUUtilizationPercentage:int?
HorizontalPodAutoscalerStatusV1 1=observedGeneration:int? 2=lastScaleTime:time
  3=currentReplicas:int 4=desiredReplicas:int 5=currentCPUUtilizationPercentage:int?
CrossVersionObjectReference 1=kind 2=name 3=apiVersion
MetricSpec 1=type 2=object:ObjectMetricSource 3=pods:PodsMetricSource
  4=resource:ResourceMetricSource 5=external:ExternalMetricSource
  7=containerResource:ContainerResourceMetricSource
ResourceMetricSource 1=name 2=target:MetricTarget
ContainerResourceMetricSource 1=name 2=target:MetricTarget 3=container
PodsMetricSource 1=metric:MetricIdentifier 2=target:MetricTarget
ObjectMetricSource 1=describedObject:CrossVersionObjectReference 2=target:MetricTarget
  3=metric:MetricIdentifier
ExternalMetricSource 1=metric:MetricIdentifier 2=target:MetricTarget
MetricIdentifier 1=name 2=selector:LabelSelector
MetricTarget 1=type 2=value:quantity 3=averageValue:quantity 4=averageUtilization:int?
HorizontalPodAutoscalerBehavior 1=scaleUp:HPAScalingRules 2=scaleDown:HPAScalingRules
HPAScalingRules 1=selectPolicy 2=policies:[HPAScalingPolicy] 3=stabilizationWindowSeconds:int?
  4=tolerance:quantity
HPAScalingPolicy 1=type 2=value:int 3=periodSeconds:int
HorizontalPodAutoscalerStatus 1=observedGeneration:int? 2=lastScaleTime:time
  3=currentReplicas:int 4=desiredReplicas:int 5=currentMetrics:[MetricStatus]
  6=conditions:[HorizontalPodAutoscalerCondition]
MetricStatus 1=type 2=object:ObjectMetricStatus 3=pods:PodsMetricStatus
  4=resource:ResourceMetricStatus 5=external:ExternalMetricStatus
  7=containerResource:ContainerResourceMetricStatus
ResourceMetricStatus 1=name 2=current:MetricValueStatus
ContainerResourceMetricStatus 1=name 2=current:MetricValueStatus 3=container
PodsMetricStatus 1=metric:MetricIdentifier 2=current:MetricValueStatus
ObjectMetricStatus 1=metric:MetricIdentifier 2=current:MetricValueStatus
  3=describedObject:CrossVersionObjectReference
ExternalMetricStatus 1=metric:MetricIdentifier 2=current:MetricValueStatus
MetricValueStatus 1=value:quantity 2=averageValue:quantity 3=averageUtilization:int?
HorizontalPodAutoscalerCondition 1=type 2=status 3=lastTransitionTime:time 4=reason 5=message
IngressClassParametersReference 1=apiGroup 2=kind 3=name 4=scope 5=namespace
PodDisruptionBudget 1=metadata:ObjectMeta 2=spec:PodDisruptionBudgetSpec
  3=status:PodDisruptionBudgetStatus
PodDisruptionBudgetSpec 1=minAvailable:intOrString 2=selector:LabelSelector
  3=maxUnavailable:intOrString 4=unhealthyPodEvictionPolicy
PodDisruptionBudgetStatus 1=observedGeneration:int 2=disruptedPods:{time} 3=disruptionsAllowed:int
  4=currentHealthy:int 5=desiredHealthy:int 6=expectedPods:int 7=conditions:[Condition]
Condition 1=type 2=status 3=observedGeneration:int 4=lastTransitionTime:time 5=reason 6=message
Eviction 1=metadata:ObjectMeta 2=deleteOptions:DeleteOptions
DeleteOptions 1=gracePeriodSeconds:int? 2=preconditions:Preconditions 3=orphanDependents:bool?
  4=propagationPolicy 5=dryRun:[] 6=ignoreStoreReadErrorWithClusterBreakingPotential:bool?
Preconditions 1=uid 2=resourceVersion
Binding 1=metadata:ObjectMeta 2=target:ObjectReference
Scale 1=metadata:ObjectMeta 2=spec:ScaleSpec 3=status:ScaleStatus
ScaleSpec 1=replicas:int?
ScaleStatus 1=replicas:int 2=selector
"""
# The messages of kinds whose name another version of theirs has.
OTHER_VERSIONS: Mapping[tuple[str, str], str] = {
    ("autoscaling/v1", "HorizontalPodAutoscaler"): "HorizontalPodAutoscalerV1",
}
_TYPE = re.compile(r"(?P<open>[\[{]?)(?P<name>-|\w*)[\]}]?(?P<mark>[?^]?)\Z")


class Field(NamedTuple):
    """type is empty for text; is_many and is_map say of how many, is_pointer of 0 and false."""

    name: str
    type: str
    is_many: bool = False
    is_map: bool = False
    is_pointer: bool = False
    is_inline: bool = False


type Message = Mapping[int, Field]


@cache
def messages(more: str = "") -> Mapping[str, Message]:
    """Return the fields of each message by their numbers; more: a table of further ones."""
    whole = f"{_MESSAGES}\n{more}".replace("\n  ", " ").split("\n")
    return {
        name: dict(_field(text) for text in fields)
        for name, *fields in (line.split() for line in whole if line)
    }


def _field(text: str) -> tuple[int, Field]:
    number, _, rest = text.partition("=")
    name, _, type_text = rest.partition(":")
    form = _TYPE.match(type_text)
    assert form is not None, text  # noqa: S101  the table is ours
    opened, mark = form["open"], form["mark"]
    is_many, is_map = opened == "[", opened == "{"
    return int(number), Field(name, form["name"], is_many, is_map, mark == "?", mark == "^")
